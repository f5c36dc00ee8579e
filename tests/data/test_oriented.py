# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from monai_dino.data.oriented import PlaneSlices
from monai_dino.errors import InputError
from monai_dino.transforms.plane import OrientToPlaned, Plane


class InMemory:
    """A volume with the interface of one on disk."""

    def __init__(self, array: np.ndarray, affine: np.ndarray) -> None:
        self.array, self.affine = array, affine
        self.shape: Any = array.shape
        self.dtype = array.dtype

    def read(self, axis: int, start: int, stop: int) -> np.ndarray:
        return np.ascontiguousarray(self.array.take(range(start, stop), axis=axis + 1))


@settings(deadline=None, max_examples=60)
@given(
    plane=st.sampled_from(["axial", "coronal", "sagittal"]),
    order=st.permutations([0, 1, 2]),
    flips=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
    tilt=st.floats(-0.4, 0.4),
    step=st.integers(1, 5),
    channels=st.integers(1, 2),
)
def test_equal_to_turning_the_whole(
    plane: Plane, order: list[int], flips: tuple[float, ...], tilt: float, step: int, channels: int
) -> None:
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(flips)[:, order] * (0.8, 1.1, 2.5)
    affine[:3, 3] = (-7, 11, 3)
    array = np.arange(channels * 4 * 5 * 6, dtype=np.int16).reshape(channels, 4, 5, 6)
    expected = OrientToPlaned("image", plane)({"image": MetaTensor(array, affine=affine)})["image"]
    slices = PlaneSlices(InMemory(array, affine), plane, "x")
    assert slices.shape == tuple(expected.shape)
    np.testing.assert_allclose(slices.affine, expected.affine, atol=1e-12)
    depth = slices.shape[3]
    blocks = [slices.read(start, min(start + step, depth)) for start in range(0, depth, step)]
    assert all(block.flags.c_contiguous for block in blocks)
    assert np.array_equal(np.concatenate(blocks).transpose(1, 2, 3, 0), expected.numpy())


def test_slices_need_an_area() -> None:
    with pytest.raises(InputError, match=r"x\.png: its slices in the sagittal plane are 1 x \d voxels; choose another"):
        PlaneSlices(InMemory(np.zeros((1, 4, 5, 1)), np.diag([-1.0, -1, 1, 1])), "sagittal", "x.png")
