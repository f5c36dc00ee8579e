# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from monai_dino.evaluation import bootstrap, crossed, crossed_bootstrap


def weighted_mean(values: np.ndarray):
    """The mean of the cases of each draw, for each seed a row of values."""
    return lambda seed, weights: weights @ values[seed] / weights.sum(axis=1)


def test_one_seed_is_the_plain_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossed, "_BLOCK", 100)  # several blocks
    values, groups = np.random.default_rng(0).normal(size=30), np.arange(30) // 2
    found = crossed_bootstrap(weighted_mean(values[None]), 1, groups, resamples=200)
    expected = bootstrap(lambda rows: float(values[rows].mean()), 30, groups.tolist(), resamples=200)
    assert (found.value, found.low, found.high, found.n) == pytest.approx(
        (expected.value, expected.low, expected.high, 30)
    )


def test_seeds_that_differ_widen_the_interval() -> None:
    patients = np.random.default_rng(0).normal(size=40)
    same, apart = np.stack([patients] * 5), patients + 2 * np.arange(-2, 3)[:, None]
    narrow, wide = (crossed_bootstrap(weighted_mean(v), 5, np.arange(40)) for v in (same, apart))
    assert narrow.value == pytest.approx(wide.value)
    # Means of draws vary by sd/sqrt(patients); those of seeds, of which five are drawn, by 2 * sqrt(2) / sqrt(5).
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 * patients.std() / math.sqrt(40), rel=0.15)
    expected = math.hypot(patients.std() / math.sqrt(40), 2 * math.sqrt(2 / 5))
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * expected, rel=0.15)


def test_what_has_no_interval() -> None:
    nothing = crossed_bootstrap(lambda seed, weights: np.full(len(weights), np.nan), 2, np.arange(4), resamples=10)
    assert all(math.isnan(v) for v in (nothing.value, nothing.low, nothing.high))
    alone = crossed_bootstrap(weighted_mean(np.ones((2, 3))), 2, np.zeros(3))
    assert (alone.value, alone.n) == (1, 3)
    assert math.isnan(alone.low)
