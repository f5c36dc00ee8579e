# SPDX-License-Identifier: Apache-2.0
"""A view's pixels lie where its geometry says."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.transforms.crops.geometry import view_affines, view_to_slice
from monai_dino.transforms.functional.resample import crop_resize

AFFINE = np.array([[0, -0.8, 0, 40.0], [0.7, 0, 0.1, -20.0], [0, 0, 3.0, 5.0], [0, 0, 0, 1.0]])


@settings(deadline=None)
@given(
    top=st.integers(0, 20), left=st.integers(0, 20), height=st.integers(2, 20), width=st.integers(2, 20),
    flip=st.tuples(st.booleans(), st.booleans()),
)  # fmt: skip
def test_coordinates_resampled_as_an_image_are_those_of_the_matrix(
    top: int, left: int, height: int, width: int, flip: tuple[bool, bool]
) -> None:
    """An image whose grey values are its coordinates is linear, so resampling it gives coordinates (but at borders)."""
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    box, turn, size = np.array([[top, left, height, width]]), np.array([flip]), (9, 6)
    view = crop_resize(
        [torch.stack([rows, columns])], torch.tensor([0]), torch.from_numpy(box), torch.from_numpy(turn), size
    )[0].numpy()
    r, c = np.meshgrid(np.arange(9), np.arange(6), indexing="ij")
    pixels = np.stack([r, c, 0 * r, 0 * r + 1]).reshape(4, -1)
    found = (view_to_slice(box, turn, size)[0] @ pixels)[:2].reshape(2, 9, 6)
    reach = np.maximum([height / 9, width / 6], 1)[:, None, None]  # of the filter, which ends at the border of the crop
    edge = np.array([[top, left], [top + height - 1, left + width - 1]])[..., None, None]
    inner = ((found >= edge[0] + reach) & (found <= edge[1] - reach)).all(axis=0)
    np.testing.assert_allclose(view[:, inner], found[:, inner], atol=0.1)  # the filter's samples are few
    edges = view_to_slice(box, turn, size)[0] @ np.array([[-0.5, -0.5, 0, 1], [8.5, 5.5, 0, 1]]).T
    np.testing.assert_allclose(np.sort(edges[0]), [top - 0.5, top + height - 0.5])
    np.testing.assert_allclose(np.sort(edges[1]), [left - 0.5, left + width - 0.5])
    world = view_affines(AFFINE, box, turn, size)[0] @ pixels
    np.testing.assert_allclose(world, AFFINE @ view_to_slice(box, turn, size)[0] @ pixels)
