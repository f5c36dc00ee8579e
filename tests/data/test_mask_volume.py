# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monai_dino.data.mask_volume import MaskVolume
from monai_dino.data.open_volume import WholeVolume, read_whole
from monai_dino.errors import InputError


def volume(array: Any, path: str = "m.nii", affine: np.ndarray | None = None) -> WholeVolume:
    shaped = np.asarray(array).reshape(-1, 2, 2, 2) if np.ndim(array) == 1 else np.asarray(array)
    return WholeVolume(path, shaped, np.eye(4) if affine is None else affine)


def test_the_highest_class_wins_along_every_axis() -> None:
    rng = np.random.default_rng(0)
    masks = [rng.integers(0, 4, (1, 4, 5, 6)) * (rng.random((1, 4, 5, 6)) > 0.6) for _ in range(3)]
    united = MaskVolume([volume(m.astype(dtype)) for m, dtype in zip(masks, ("u1", "i2", "f4"), strict=True)])
    expected = np.max(masks, axis=0)
    assert united.dtype == np.uint8
    assert np.array_equal(read_whole(united).numpy(), expected)
    for axis in range(3):
        assert np.array_equal(united.read(axis, 1, 3), expected.take([1, 2], axis=axis + 1))


@pytest.mark.parametrize(
    ("values", "path", "expected", "dtype"),
    [
        ([0, 255] * 4, "m.png", [0, 1] * 4, "u1"),
        ([255] * 8, "m.PNG", [1] * 8, "u1"),
        ([0] * 8, "m.png", [0] * 8, "u1"),
        ([0, 255] * 4, "m.nii", [0, 255] * 4, "u1"),
        ([0, 1, 255, 0] * 2, "m.png", [0, 1, 255, 0] * 2, "u1"),
        ([0, 256] * 4, "m.nii", [0, 256] * 4, "i4"),
        ([0, -1] * 4, "m.nii", [0, -1] * 4, "i4"),
    ],
)
def test_values(values: list[int], path: str, expected: list[int], dtype: str) -> None:
    mask = read_whole(MaskVolume([volume(np.array(values, np.int32), path)])).numpy()
    assert mask.ravel().tolist() == expected
    assert mask.dtype == np.dtype(dtype)


def test_equal_channels_count_as_one() -> None:
    grey = np.random.default_rng(0).integers(0, 3, (1, 4, 5, 6), dtype=np.uint8)
    assert np.array_equal(read_whole(MaskVolume([volume(np.repeat(grey, 3, axis=0))])).numpy(), grey)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.arange(48).reshape(2, 2, 3, 4), "a mask of 2 channels"),
        (np.full((1, 2, 2, 2), 0.5, np.float32), "a mask with values that are not whole numbers"),
        (np.full((1, 2, 2, 2), 2**31), "a mask with values from 0 to 2147483648"),
    ],
)
def test_what_is_no_mask(array: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=rf"m\.nii: {words}"):
        MaskVolume([volume(array)])


def test_masks_of_a_case_lie_on_one_grid() -> None:
    with pytest.raises(InputError, match=r"other\.nii: lies elsewhere in the patient than m\.nii"):
        MaskVolume([volume([0] * 8), volume([0] * 8, "other.nii", np.diag([2.0, 1, 1, 1]))])
