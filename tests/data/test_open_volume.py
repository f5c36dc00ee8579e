# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.data.open_volume import StackedVolume, WholeVolume, read_whole
from monai_dino.data.reading import open_volume, read_volume
from monai_dino.errors import ConfigurationError, InputError


def with_gaps(seed: int = 0) -> np.ndarray:
    array = np.random.default_rng(seed).normal(size=(6, 5, 4)).astype(np.float32)
    array[1, 2, 3], array[4, 0, 0], array[5, 4, 3] = np.nan, np.inf, -np.inf
    return array


@pytest.mark.parametrize("suffix", [".nii", ".npy"])
def test_what_is_not_finite_is_filled_and_counted(
    suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    array, path = with_gaps(), tmp_path / f"x{suffix}"
    if suffix == ".npy":
        np.save(path, array)
    else:
        nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    expected = np.where(np.isfinite(array), array, np.float32(-1000))
    assert np.array_equal(read_volume(path, fill=-1000).numpy()[0], expected)
    assert caplog.text.count("3 voxels are not finite; they were set to -1000") == 1
    caplog.clear()
    with open_volume(path, fill=-1000) as volume:
        parts = [volume.read(1, k, k + 1) for k in range(5)]
        volume.read(2, 0, 3)  # what is read again, or along another axis, does not count again
        volume.read(1, 0, 5)
        assert volume.filled == 3
        assert caplog.text == ""
    assert np.array_equal(np.concatenate(parts, axis=2)[0], expected)
    assert f"{path}: 3 voxels are not finite; they were set to -1000" in caplog.text


def test_what_is_filled_is_finite() -> None:
    with pytest.raises(ConfigurationError, match="fill=nan: expected a finite value"):
        WholeVolume("x", with_gaps()[None], np.eye(4), fill=float("nan"))


@pytest.mark.parametrize(("axis", "start", "count"), [(0, 4, "2 or more"), (1, 0, "2 or more"), (2, 3, "2 or more")])
def test_the_first_of_them_is_named(axis: int, start: int, count: str) -> None:
    array = with_gaps()
    volume = WholeVolume("x.nii", array[None], np.eye(4))
    with pytest.raises(InputError, match=rf"x\.nii: {count} of 120 voxels are not finite .* index \(") as error:
        volume.read(axis, start, array.shape[axis] - (axis == 1))
    index = str(error.value).split("index (")[1].split(")")[0]
    assert not np.isfinite(array[tuple(int(i) for i in index.split(","))])
    with pytest.raises(InputError, match="3 of 120 voxels are not finite"):
        read_whole(volume)


@settings(deadline=None, max_examples=20)
@given(channels=st.lists(st.integers(0, 2), min_size=1, max_size=4), axis=st.integers(0, 2))
def test_stacked_volumes_are_channels(channels: list[int], axis: int) -> None:
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 9, (1, 4, 5, 6)).astype(np.int16), rng.normal(size=(2, 4, 5, 6)).astype(np.float32)
    both = np.concatenate([one, two]).astype(np.float32)
    stacked = StackedVolume([WholeVolume("a", one, np.eye(4)), WholeVolume("b", two, np.eye(4))], channels)
    assert stacked.dtype == np.float32
    assert np.array_equal(read_whole(stacked).numpy(), both[channels])
    part = stacked.read(axis, 1, 3)
    assert np.array_equal(part, both[channels].take([1, 2], axis=axis + 1))


@pytest.mark.parametrize(
    ("dtype", "read"), [("?", "u1"), ("u2", "i4"), ("u4", "i8"), ("u8", "i8"), (">i2", "i2"), ("f2", "f2"), ("g", "f8")]
)
def test_types_that_torch_works_with(dtype: str, read: str) -> None:
    array = np.ones((1, 2, 2, 2), dtype)
    volume = read_whole(WholeVolume("x", array, np.eye(4)))
    assert volume.numpy().dtype == np.dtype(read)
    assert bool((volume == 1).all())


def test_numbers_that_do_not_fit_are_refused() -> None:
    array: Any = np.full((1, 2, 2, 2), 2**63, np.uint64)
    with pytest.raises(InputError, match="x: voxels up to 9223372036854775808 are beyond"):
        read_whole(WholeVolume("x", array, np.eye(4)))
