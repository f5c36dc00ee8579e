# SPDX-License-Identifier: Apache-2.0
"""Ranges of the ultrasound artefacts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from monai_dino.errors import ConfigurationError
from monai_dino.transforms import (
    RandAcousticShadow,
    RandDepthAttenuation,
    RandHaze,
    RandReverberation,
    RandSectorShape,
    RandSectorShaped,
    RandSpeckle,
    RandTimeGain,
)


def test_the_apex_lies_above_the_image() -> None:
    apex = RandHaze(apex=(-20.0, -0.5)).draw(np.random.RandomState(0), 500)["apex"]
    assert (apex[:, 0] >= -20).all()
    assert (apex[:, 0] <= -0.5).all()
    assert (np.abs(apex[:, 1] - 0.5) <= 0.25).all()
    known = RandHaze(apex=-0.1, column=0.4).draw(np.random.RandomState(0), 5)["apex"]
    np.testing.assert_allclose(known, [[-0.1, 0.4]] * 5)
    with pytest.raises(ConfigurationError, match="above the image"):
        RandHaze(apex=(-1.0, 0.5))
    with pytest.raises(ConfigurationError, match=r"column=190.0: expected widths of the image, from -1 to 2"):
        RandHaze(apex=-0.1, column=190.0)


def test_attenuation_falls_and_sliders_are_as_many_as_stated() -> None:
    gain = RandDepthAttenuation(loss=(3, 20)).draw(np.random.RandomState(0), 50)["gain"]
    assert (gain[:, 0] == 0).all()
    assert ((gain[:, 1] >= -20) & (gain[:, 1] <= -3)).all()
    assert RandTimeGain(sliders=6).draw(np.random.RandomState(0), 3)["gain"].shape == (3, 6)


def test_labels_follow_the_sector() -> None:
    label = torch.zeros(1, 40, 40, dtype=torch.float32)
    label[0, 10:30, 15:25] = 3
    form = RandSectorShaped(["image", "label"], mode=["bilinear", "nearest"], prob=1.0).set_random_state(0)
    found = form({"image": label / 3, "label": label})
    assert set(torch.as_tensor(found["label"]).unique().tolist()) == {0.0, 3.0}
    assert ((found["image"] > 0.5) == (found["label"] > 1.5)).float().mean() > 0.98


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (RandAcousticShadow, {"loss": -1.0}), (RandAcousticShadow, {"width": 0.0}), (RandHaze, {"reach": 0.0}),
        (RandReverberation, {"spacing": (0.0, 1.0)}), (RandSectorShape, {"angle": 0.0}), (RandSpeckle, {"size": 0.0}),
        (RandSectorShape, {"mode": "bicubic"}), (RandTimeGain, {"sliders": 0}), (RandDepthAttenuation, {"loss": -3.0}),
    ],
)  # fmt: skip
def test_values_that_cannot_work_are_named(kind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        kind(**wrong)
