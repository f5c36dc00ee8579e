# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.errors import ConfigurationError
from monai_dino.ssl import Schedules, SslSettings, ssl_settings
from monai_dino.ssl.schedules import cosine


def table(start: float, end: float, total: int, warmup: int = 0, warmup_start: float = 0.0) -> np.ndarray:
    """All values at once, as CosineScheduler of dinov2 makes them."""
    rising = np.linspace(warmup_start, start, warmup)
    steps = np.arange(total - warmup)
    falling = end + 0.5 * (start - end) * (1 + np.cos(np.pi * steps / max(len(steps), 1)))
    return np.concatenate([rising, falling])


def resolved(preset: str = "dinov2", **changes: Any) -> SslSettings:
    return ssl_settings(preset, **changes).resolved(64, False)


@settings(deadline=None)
@given(st.data(), st.integers(1, 60), *[st.floats(-5, 5)] * 3)
def test_cosine_is_the_table(data: st.DataObject, total: int, start: float, end: float, warmup_start: float) -> None:
    warmup = data.draw(st.integers(0, total))
    found = [cosine(step, total, start, end, warmup, warmup_start) for step in range(total + 3)]
    expected = [*table(start, end, total, warmup, warmup_start), *[end] * 3]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["dino", "dinov2", "dinov3"]),
    st.integers(1, 300),
    *[st.floats(0, 1)] * 4,
)
def test_every_value_is_its_table(
    preset: str, total: int, warmup: float, temp_warmup: float, frozen: float, head_warmup: float
) -> None:
    shares = {"warmup": warmup, "teacher_temp_warmup": temp_warmup, "freeze_last_layer": frozen}
    s = resolved(preset, head_warmup=head_warmup, encoder_rate=0.3, **shares)
    assert s.learning_rate is not None
    assert s.min_learning_rate is not None
    rates = table(s.learning_rate, s.min_learning_rate, total, round(warmup * total))
    last = rates.copy()
    last[: round(frozen * total)] = 0
    heads = round(head_warmup * total)
    waking = np.concatenate([np.zeros(heads), np.arange(1, total - heads + 1) / max(round(warmup * total), 1)])
    waking = np.minimum(waking, 1) if heads and round(warmup * total) else np.ones(total)
    rising = np.linspace(s.teacher_temp_start, s.teacher_temp, round(temp_warmup * total))
    temperatures = np.concatenate([rising, np.full(total - len(rising), s.teacher_temp)])
    found = [Schedules(s, total)(step) for step in range(total)]
    for name, expected in {
        "learning_rate": rates,
        "last_layer_rate": last,
        "encoder_rate": 0.3 * rates * waking,
        "weight_decay": table(s.weight_decay, s.weight_decay_end, total),
        "momentum": table(s.momentum, s.momentum_end, total),
        "teacher_temp": temperatures,
        "encoder_frozen": np.arange(total) < round(head_warmup * total),
    }.items():
        np.testing.assert_allclose([getattr(v, name) for v in found], expected, atol=1e-12, err_msg=name)


def test_a_run_of_dinov2_in_numbers() -> None:
    values = [Schedules(resolved(), 1000)(step) for step in range(1000)]
    peak = 4e-3 * (64 / 1024) ** 0.5
    assert [v.learning_rate for v in values[:2]] == pytest.approx([0, peak / 99])
    assert values[99].learning_rate == values[100].learning_rate == pytest.approx(peak)
    assert values[550].learning_rate == pytest.approx((peak + 1e-6) / 2)
    assert [v.last_layer_rate > 0 for v in values] == [False] * 10 + [True] * 990
    assert [values[i].teacher_temp for i in (0, 299, 300, 999)] == pytest.approx([0.04, 0.07, 0.07, 0.07])
    assert [values[i].momentum for i in (0, 500)] == pytest.approx([0.992, 0.996])
    assert [values[i].weight_decay for i in (0, 500)] == pytest.approx([0.04, 0.22])
    assert not any(v.gram or v.gram_refresh or v.encoder_frozen for v in values)


def test_dinov3_stays_as_it_is_after_the_warm_up() -> None:
    values = [Schedules(resolved("dinov3"), 500)(step) for step in range(50, 500)]
    for name in ("learning_rate", "weight_decay", "momentum", "teacher_temp"):
        assert len({round(getattr(v, name), 12) for v in values}) == 1, name


@pytest.mark.parametrize(
    ("total", "start", "every", "often", "expected"),
    [
        (100, 0.8, 5, 3, [80, 85, 90, 95]),
        (100, 0.8, 5, 1, [80, 85]),
        (100, 0.8, 5, 0, [80]),
        (100, 0.8, 15, 3, [80, 95]),
        (7, 0.0, 2, 9, [0, 2, 4, 6]),
        (7, 1.0, 2, 9, []),
    ],
)
def test_gram_teachers(total: int, start: float, every: int, often: int, expected: list[int]) -> None:
    s = resolved("dinov3", gram_start=start, gram_refresh=every, gram_refreshes=often)
    values = [Schedules(s, total)(step) for step in range(total)]
    assert [step for step, v in enumerate(values) if v.gram_refresh] == expected
    assert [v.gram for v in values] == [bool(expected) and step >= expected[0] for step in range(total)]


def test_what_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="learning rates or head_warmup are open"):
        Schedules(ssl_settings(), 10)
    with pytest.raises(ConfigurationError, match="the run has 0 steps"):
        Schedules(resolved(), 0)
