# SPDX-License-Identifier: Apache-2.0
"""What student and teacher get can be seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from monai_dino.transforms import BatchedViews, medical_views
from monai_dino.visualize import batch_sheet
from monai_dino.visualize.overlay import COLOURS


def share(picture: np.ndarray, colour: tuple[float, float, float]) -> float:
    return float((picture == np.round(255 * np.array(colour))).all(axis=-1).mean())


def views(**changes: Any) -> dict[str, Any]:
    return {
        "image_global": torch.full((3, 2, 1, 32, 32), 0.5),
        "image_local": torch.full((3, 4, 1, 16, 16), 0.5),
        "patch_mask": torch.zeros(3, 2, 4, dtype=torch.bool),
    } | changes


def test_rows_of_images() -> None:
    # Two global views, the same masked, two columns of local views, each with a gap.
    width = 2 * 196 + 2 * 196 + 2 * 100
    assert batch_sheet(views(), images=2).shape == (2 * 196, width, 3)
    assert batch_sheet(views(), images=9).shape == (3 * 196, width, 3)
    assert batch_sheet(views()).dtype == np.uint8


@pytest.mark.parametrize(
    ("changes", "width"),
    [
        ({"image_local": None}, 4 * 196),
        ({"image_local": torch.zeros(3, 0, 1, 16, 16)}, 4 * 196),
        ({"patch_mask": None}, 2 * 196 + 2 * 100),
    ],
)
def test_what_is_not_there_is_left_out(changes: dict[str, Any], width: int) -> None:
    assert batch_sheet(views(**changes), images=1).shape == (196, width, 3)


def test_hidden_patches_are_painted() -> None:
    mask = torch.zeros(3, 2, 4, dtype=torch.bool)
    mask[0, 0, 1] = True  # the right upper quarter
    sheet = batch_sheet(views(patch_mask=mask), images=1)
    tile = sheet[:192, 2 * 196 : 2 * 196 + 192]
    assert share(tile[10:86, 106:182], COLOURS[5]) == 1.0
    assert share(tile[10:86, 10:86], COLOURS[5]) == share(tile[106:, :], COLOURS[5]) == 0.0
    assert share(sheet[:, : 2 * 196], COLOURS[5]) == 0.0


def test_views_of_a_real_recipe() -> None:
    images = [{"image": torch.rand(1, 40, 50)} for _ in range(2)]
    made = BatchedViews(medical_views("us", patch_size=8, global_size=32, local_size=16, local_count=2))(images)
    before = {name: stack.clone() for name, stack in made.items() if isinstance(stack, torch.Tensor)}
    assert batch_sheet(made).shape[0] == 2 * 196
    assert all(torch.equal(made[name], stack) for name, stack in before.items())


def test_colour_and_guided_views() -> None:
    guided = torch.tensor([[-1, -1, 3, -1]])
    sheet = batch_sheet(
        {
            "image_global": torch.full((1, 1, 3, 8, 8), 0.5),
            "image_local": torch.zeros(1, 4, 3, 8, 8),
            "geometry": {"image_local": {"crop_class": guided}},
        }
    )
    assert share(sheet, COLOURS[4]) > 0
