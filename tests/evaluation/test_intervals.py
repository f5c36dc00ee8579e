# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monai_dino.evaluation import Estimate, bootstrap


def mean_of(values: np.ndarray, **options: object) -> Estimate:
    return bootstrap(lambda drawn: float(values[drawn].mean()), len(values), **options)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(5, 60), st.sampled_from([0.8, 0.9, 0.95]))
def test_close_to_scipy(seed: int, n: int, confidence: float) -> None:
    values = np.random.default_rng(seed).gamma(2.0, size=n)
    found = mean_of(values, confidence=confidence, resamples=4000)
    expected = stats.bootstrap(
        (values,), np.mean, confidence_level=confidence, n_resamples=20000, method="percentile", rng=seed
    ).confidence_interval
    assert found.value == pytest.approx(values.mean())
    assert found.n == n
    # The ends of both vary with their draws by a small part of the interval.
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.1 * width)
    assert found.high == pytest.approx(expected.high, abs=0.1 * width)


def test_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    runs = [mean_of(rng.normal(size=40), resamples=300, seed=k) for k in range(200)]
    covered = np.mean([e.low <= 0 <= e.high for e in runs])
    assert 0.88 <= covered <= 0.99


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(0, 1000))
def test_repeats_with_its_seed(data: int, n: int, seed: int) -> None:
    values = np.random.default_rng(data).normal(size=n)
    first = mean_of(values, resamples=50, seed=seed)
    assert first == mean_of(values, resamples=50, seed=seed)
    assert first.low <= first.high
    assert values.min() - 1e-9 <= first.low
    assert first.high <= values.max() + 1e-9
    if n > 8:  # else few means are possible
        assert first != mean_of(values, resamples=50, seed=seed + 1)


def test_patients_widen_the_interval() -> None:
    # Five equal cases of each patient hold no more than one: the interval is that of the patients.
    patients = np.random.default_rng(1).normal(size=12)
    values, groups = np.repeat(patients, 5), np.repeat([f"p{i}" for i in range(12)], 5).tolist()
    alone = mean_of(patients)
    grouped, independent = mean_of(values, groups=groups), mean_of(values)
    assert grouped.low == pytest.approx(alone.low)
    assert grouped.high == pytest.approx(alone.high)
    assert grouped.high - grouped.low > 1.7 * (independent.high - independent.low)  # sqrt(5) = 2.2
    assert (grouped.n, alone.n) == (60, 12)


def test_whole_patients_are_drawn() -> None:
    groups = ["a", "b", "a", "c", "b", "a"]
    draws: list[np.ndarray] = []
    bootstrap(lambda drawn: draws.append(drawn) or 0.0, 6, groups, resamples=50)  # type: ignore[func-returns-value]
    assert draws[0].tolist() == list(range(6))
    for drawn in draws[1:]:
        times = np.bincount(drawn, minlength=6)
        for group in "abc":
            assert len({times[i] for i in range(6) if groups[i] == group}) == 1
        assert sum(times[[0, 1, 3]]) == 3


@pytest.mark.parametrize("n", [0, 1, 4])
def test_fewer_than_two_patients(n: int) -> None:
    found = mean_of(np.arange(float(n)), groups=["p"] * n) if n else bootstrap(lambda drawn: 1.0, 0)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.n == n
    assert math.isnan(found.value) if n == 0 else found.value == (n - 1) / 2


def test_undefined_draws_are_left_out() -> None:
    # The statistic is undefined unless case 0 is drawn; where it is defined it is 2.
    found = bootstrap(lambda drawn: 2.0 if 0 in drawn else float("nan"), 5, resamples=100)
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)
    never = bootstrap(lambda drawn: float("nan"), 5, resamples=20)
    assert math.isnan(never.low)
    assert math.isnan(never.high)


def test_reads_well() -> None:
    assert str(Estimate(0.5, 0.25, 0.75, 8)) == "0.5000 [0.2500, 0.7500] (n = 8)"
