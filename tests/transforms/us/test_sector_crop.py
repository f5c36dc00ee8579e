# SPDX-License-Identifier: Apache-2.0
"""Views lie in the sector."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_dino.errors import ConfigurationError
from monai_dino.transforms import BatchedViews, RandSectorCrop, RandSectorCropd, SectorMaskd
from monai_dino.transforms.crops.crop_plan import CropPlan


def shares(plan: CropPlan, sector: torch.Tensor) -> np.ndarray:
    return np.array([sector[t : t + h, left : left + w].float().mean() for t, left, h, w in plan.box])


def test_boxes_hold_the_stated_share_of_the_sector() -> None:
    row, column = np.indices((120, 160))
    sector = torch.from_numpy((np.abs(column - 80) < row * 0.6 + 8) & (np.hypot(row, column - 80) < 115))
    rng = np.random.RandomState(0)
    crop = RandSectorCrop("dino-mx", least_share=0.8, global_scale=(0.15, 0.3), local_scale=(0.02, 0.1))
    usual = RandSectorCrop("dino-mx", least_share=0.0, global_scale=(0.15, 0.3), local_scale=(0.02, 0.1))
    found = np.concatenate([shares(crop.draw(rng, (120, 160), sector)["local"], sector) for _ in range(20)])
    plain = np.concatenate([shares(usual.draw(rng, (120, 160), sector)["local"], sector) for _ in range(20)])
    assert (found >= 0.8).mean() > 0.95
    assert (plain >= 0.8).mean() < 0.8


def test_the_best_of_ten_is_taken_where_none_is_enough() -> None:
    sector = torch.zeros(50, 50)
    sector[20, 20] = 1
    plan = RandSectorCrop(least_share=0.9).draw(np.random.RandomState(0), (50, 50), sector)["local"]
    assert plan.box.shape == (8, 4)


def test_it_follows_the_mask_in_a_pipeline_and_in_a_batch() -> None:
    frame = torch.zeros(1, 80, 90)
    frame[0, 10:70, 20:70] = 0.5
    form = RandSectorCropd("image", global_size=14, local_size=7, local_scale=(0.02, 0.05))
    item = SectorMaskd("image")({"image": frame})
    assert form.set_random_state(0)(item)["image_local"].gt(0).float().mean() > 0.7
    from monai.transforms import Compose

    assert BatchedViews(Compose([form]))([item])["image_local"].shape == (1, 8, 1, 7, 7)
    with pytest.raises(ConfigurationError, match="least_share"):
        RandSectorCrop(least_share=1.5)
