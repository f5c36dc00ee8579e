# SPDX-License-Identifier: Apache-2.0
"""Boxes lie in the image, have the drawn share and aspect, and hold the pixel they were drawn for."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.transforms.crops.boxes import box_sizes, boxes_about, boxes_anywhere, boxes_with

SHAPES = st.tuples(st.integers(1, 300), st.integers(1, 300))


def inside(boxes: np.ndarray, shape: tuple[int, int]) -> bool:
    return bool(
        (boxes[:, :2] >= 0).all() and (boxes[:, 2:] >= 1).all() and (boxes[:, :2] + boxes[:, 2:] <= shape).all()
    )


@settings(deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 100))
def test_boxes_lie_in_the_image(shape: tuple[int, int], seed: int) -> None:
    rng = np.random.RandomState(seed)
    sizes = box_sizes(rng, 6, shape, (0.05, 1.0), (3 / 4, 4 / 3))
    assert inside(boxes_anywhere(rng, sizes, shape), shape)
    centres = np.stack([rng.randint(0, length, 6) for length in shape], axis=1)
    for boxes in (boxes_about(sizes, centres, shape), boxes_with(rng, sizes, centres, shape)):
        assert inside(boxes, shape)
        assert (boxes[:, 2:] == sizes).all()
        assert ((boxes[:, :2] <= centres) & (centres < boxes[:, :2] + boxes[:, 2:])).all()


def test_share_and_aspect_are_those_asked_for() -> None:
    sizes = box_sizes(np.random.RandomState(0), 4000, (500, 600), (0.1, 0.4), (3 / 4, 4 / 3))
    share = sizes.prod(axis=1) / 300_000
    aspect = sizes[:, 1] / sizes[:, 0]
    assert share.min() > 0.099
    assert share.max() < 0.401
    assert abs(share.mean() - 0.25) < 0.01
    assert abs(np.log(aspect)).max() < np.log(4 / 3) + 0.02
    assert abs(np.log(aspect).mean()) < 0.01


def test_a_slim_image_gives_its_largest_box_of_an_allowed_aspect() -> None:
    sizes = box_sizes(np.random.RandomState(0), 5, (10, 100), (0.9, 1.0), (3 / 4, 4 / 3))
    assert (sizes == (10, 13)).all()


def test_a_box_is_centred_where_there_is_room() -> None:
    assert boxes_about(np.array([[5, 7]]), np.array([[20, 30]]), (50, 60)).tolist() == [[18, 27, 5, 7]]


def test_boxes_that_hold_a_pixel_lie_anywhere_about_it() -> None:
    rng = np.random.RandomState(0)
    boxes = boxes_with(rng, np.full((3000, 2), 10), np.full((3000, 2), 50), (100, 100))
    assert set(boxes[:, 0]) == set(range(41, 51))
