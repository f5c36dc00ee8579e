# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor

from monai_dino.auto3dseg.geometry import in_plane, shared_window, slice_plane
from monai_dino.transforms import OrientToPlaned


@pytest.mark.parametrize(
    ("spacing", "shape", "plane"),
    [
        ((0.8, 0.8, 5), (512, 512, 30), "axial"),
        ((0.8, 5, 0.8), (256, 20, 256), "coronal"),
        ((4, 0.5, 0.5), (20, 400, 400), "sagittal"),
        ((3, 1, 3), (60, 200, 60), "axial"),
        ((1, 1, 1), (160, 256, 256), "sagittal"),
        ((1, 1, 1), (256, 140, 256), "coronal"),
        ((1, 1, 1), (35, 50, 36), "axial"),
        ((1, 1, 1), (300, 290, 300), "axial"),
        ((1, 1, 1), (640, 480, 1), "axial"),
        ((1, 1), (640, 480), "axial"),
    ],
)
def test_plane(spacing: tuple[float, ...], shape: tuple[float, ...], plane: str) -> None:
    assert slice_plane(spacing, shape) == plane


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_rows_and_columns_are_those_of_turned_volumes(plane: str) -> None:
    volume = MetaTensor(torch.zeros(1, 5, 6, 7), affine=torch.eye(4))  # R, A, S
    turned = OrientToPlaned("image", plane)({"image": volume})["image"].shape
    assert [*in_plane((5, 6, 7), plane), *in_plane((5, 6, 7), plane, across=True)] == list(turned[1:])


@given(st.lists(st.tuples(*[st.integers(17, 30)] * 3), min_size=2, max_size=5))
def test_window_holds_every_slice(shapes: list[tuple[int, int, int]]) -> None:
    columns = np.array(shapes)
    stats = {
        "shape": {name: getattr(np, name)(columns, axis=0).tolist() for name in ("min", "median", "max")},
        "spacing": {"min": [1, 1, 5], "max": [1.01, 1, 9]},
    }  # fmt: skip
    window = shared_window(stats, "axial")
    if window is None:
        assert len({s[:2] for s in shapes}) == 1
    else:
        assert all(w >= s[axis] and w % 16 == 0 for s in shapes for w, axis in zip(window, (1, 0), strict=True))


def test_no_window() -> None:
    shape = {"min": [20, 20, 5], "median": [22, 22, 5], "max": [24, 24, 5]}
    one = {"min": [1, 1, 5], "max": [1, 1, 5]}
    assert shared_window({"shape": shape, "spacing": one}, "axial") == [32, 32]
    assert shared_window({"shape": shape, "spacing": one | {"max": [1.2, 1, 5]}}, "axial") is None
    assert shared_window({"shape": shape | {"max": [50, 24, 5]}, "spacing": one}, "axial") is None
    for axes in (2, 3):  # pictures
        sizes = {name: [*size[:2], 1][:axes] for name, size in shape.items()}
        assert shared_window({"shape": sizes, "spacing": {k: v[:axes] for k, v in one.items()}}, "axial") is None
