# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from common import TINY
from synthetic import write_balls, write_stripes

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.inferers import PatchMapInferer
from monai_dino.networks import DinoEncoder, cls_attention
from monai_dino.visualize import explained_cases, fit_explainer, fit_patch_pca


def test_channels_are_attention_and_colours() -> None:
    torch.manual_seed(0)
    encoder = DinoEncoder(TINY["dinov2_with_registers"], in_channels=3)
    cases = [{"image": torch.rand(1, 30, 40, depth)} for depth in (1, 3)]
    explainer = fit_explainer(encoder, cases, image_size=56, neighbours=1, block=2)
    assert encoder.training
    x = torch.rand(2, 3, 56, 70)
    found = explainer(x)
    assert found.shape == (2, 2 + 3, 4, 5)
    torch.testing.assert_close(found[:, :2], cls_attention(encoder, x, [2])[0])
    torch.testing.assert_close(found[:, 2:], explainer.pca.colours(encoder.eval().intermediate(x, [-1])[0]))
    inferer = PatchMapInferer(2, neighbours=1, resize=56, precision="fp32")
    shown = [inferer(case["image"][None], lambda s: encoder.intermediate(s, [-1])[0])[0] for case in cases]
    wanted = fit_patch_pca([m[..., k].detach() for m in shown for k in range(m.shape[-1])])
    torch.testing.assert_close(explainer.pca.centre, wanted.centre)
    torch.testing.assert_close(explainer.pca.colour_directions, wanted.colour_directions, atol=1e-3, rtol=0)


def test_what_cannot_be_explained() -> None:
    encoder = DinoEncoder(TINY["vit"])
    with pytest.raises(InputError, match="no cases"):
        fit_explainer(encoder, [])
    with pytest.raises(ConfigurationError, match="image_size=30 is not a multiple of the encoder's patch of 8 pixels"):
        fit_explainer(encoder, [{"image": torch.rand(1, 32, 32, 1)}], 30)
    with pytest.raises(ConfigurationError, match="block=4: the encoder has blocks 0 to 3"):
        fit_explainer(encoder, [{"image": torch.rand(1, 32, 32, 1)}], 32, block=4)


def test_cases_keep_masks_and_lose_classes(tmp_path: Path) -> None:
    balls, stripes = write_balls(tmp_path / "balls"), write_stripes(tmp_path / "stripes")
    found = explained_cases(balls, "datalist.json")
    assert [(item["case"], item["patient"]) for item in found] == [("case4", "p4"), ("case5", "p5")]
    assert all(item["label"].endswith(".nii.gz") for item in found)
    assert [item["case"] for item in explained_cases(balls, "datalist.json", "validation", 1)] == ["case1", "case3"]
    assert all("label" not in item for item in explained_cases(stripes, "datalist.json"))
    assert len(explained_cases(stripes)) == 12
