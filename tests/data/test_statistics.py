# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.data.statistics import PERCENTILES, volume_statistics


def in_blocks(volume: np.ndarray, step: int) -> Callable[[], Iterator[np.ndarray]]:
    return lambda: (volume[..., k : k + step] for k in range(0, volume.shape[-1], step))


def draw(dtype: str, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    if np.dtype(dtype).kind == "f":
        return (rng.normal(size=shape) * 10.0 ** rng.integers(-20, 20)).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, size=shape, dtype=dtype, endpoint=True)


@settings(deadline=None, max_examples=40)
@given(
    dtype=st.sampled_from(["u1", "i1", "i2", "i4", "i8", "f4", "f8"]),
    channels=st.integers(1, 3),
    step=st.integers(1, 7),
    seed=st.integers(0, 999),
)
def test_equal_to_numpy_on_the_whole(dtype: str, channels: int, step: int, seed: int) -> None:
    volume = draw(dtype, np.random.default_rng(seed), (channels, 5, 4, 7))
    found = volume_statistics(in_blocks(volume, step), channels, volume.dtype)
    for c, values in enumerate(volume):
        plain = values.astype(np.float64)
        np.testing.assert_allclose(found.mean[c], plain.mean(), rtol=1e-9, atol=1e-9 * np.abs(plain).max())
        np.testing.assert_allclose(found.std[c], plain.std(), rtol=1e-9)
        expected = np.percentile(values.astype(np.float32).astype(np.float64), PERCENTILES)
        mine = [found.percentiles[f"{q:g}"][c] for q in PERCENTILES]
        np.testing.assert_allclose(mine, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())
    assert found.levels is not None
    assert np.array_equal(found.levels, np.unique(volume.view(f"u{volume.itemsize}")))


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
def test_equal_to_numpy_where_nearly_all_values_differ(dtype: str) -> None:
    rng = np.random.default_rng(0)
    volume = np.stack([draw(dtype, rng, (50, 60, 40)), np.full((50, 60, 40), 3, dtype)])
    volume[0, :5] = 0
    volume[0, 5:9] *= -1
    found = volume_statistics(in_blocks(volume, 7), 2, volume.dtype)
    assert found.levels is None
    expected = np.percentile(volume.astype(np.float32).reshape(2, -1).astype(np.float64), PERCENTILES, axis=1)
    mine = np.array([found.percentiles[f"{q:g}"] for q in PERCENTILES])
    np.testing.assert_allclose(mine, expected, rtol=1e-6, atol=1e-7 * np.abs(volume).max())


def test_levels_keep_the_sign_of_zero() -> None:
    volume = np.array([[[0.0, -0.0, 1.5]]], np.float32)
    levels = volume_statistics(in_blocks(volume, 1), 1, volume.dtype).levels
    assert levels is not None
    assert sorted(levels.view(np.float32).tolist()) == [-0.0, 0.0, 1.5]
    assert len(levels) == 3


def test_memory_is_that_of_a_block() -> None:
    import tracemalloc

    def blocks() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        for _ in range(30):
            yield rng.normal(size=(1, 100, 100, 10)).astype(np.float32)

    tracemalloc.start()
    volume_statistics(blocks, 1, np.dtype(np.float32))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6  # 12 MB of values in 30 blocks; the two histograms take up to 18 MB, twice


def test_channels_that_have_few_levels_each_may_have_many_together() -> None:
    volume = np.random.default_rng(0).normal(size=(2, 200, 200, 1)).astype(np.float32)
    assert all(len(np.unique(channel)) <= 1 << 16 < len(np.unique(volume)) for channel in volume)
    found = volume_statistics(in_blocks(volume, 1), 2, volume.dtype)
    assert found.levels is None
    np.testing.assert_allclose(found.percentiles["50"], np.median(volume.reshape(2, -1), axis=1), rtol=1e-6)
