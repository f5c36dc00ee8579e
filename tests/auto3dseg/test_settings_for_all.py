# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from monai_dino.auto3dseg.contestants import find_contestants
from monai_dino.auto3dseg.settings_for_all import check_settings, kept_settings
from monai_dino.errors import ConfigurationError


def test_what_an_algorithm_keeps_of_its_own_is_said() -> None:
    contestants = find_contestants(["dinoguided", "unet2d", "unetr2d", "unet3d"], "segmentation")
    own = {c.name: c.settings.get("learning_rate") for c in contestants}
    assert own["unet2d"] is None
    assert own["dinoguided"] != own["unetr2d"]
    changes = {"plane": "sagittal", "learning_rate": own["dinoguided"], "batch_size": 8}
    rate, batch = kept_settings(changes, contestants)
    assert "learning_rate" in rate
    assert f"unetr2d ({own['unetr2d']})" in rate
    assert "dinoguided" not in rate
    assert "batch_size" in batch
    assert "unet3d" in batch
    assert "unet2d" not in batch
    assert kept_settings({"plane": "sagittal"}, contestants) == []


@pytest.mark.parametrize("name", ["plain", "weights", "max_minutes"])
def test_settings_that_are_not_for_all_are_refused(name: str) -> None:
    check_settings({"plane": "sagittal"}, "segmentation")
    with pytest.raises(ConfigurationError, match=f"unknown {name}; expected some of .*plane"):
        check_settings({name: 1}, "segmentation")
