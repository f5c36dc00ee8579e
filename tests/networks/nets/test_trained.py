# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from monai_dino.errors import ConfigurationError, WeightsError
from monai_dino.networks import DinoSegmenter, load_trained, require_pretrained


@pytest.mark.parametrize("mode", ["frozen", "bitfit", "lora"])
def test_random_encoder_must_be_trained(mode: str, tiny: dict[str, Any]) -> None:
    net = DinoSegmenter(tiny, adaptation=mode)
    with pytest.raises(ConfigurationError, match="weights: none are given"):
        require_pretrained(net, None)
    require_pretrained(net, "some/weights")
    require_pretrained(DinoSegmenter(tiny, adaptation="full"), None)


def test_loads_what_was_saved(tiny: dict[str, Any], tmp_path: Path) -> None:
    net = DinoSegmenter(tiny, adaptation="lora")
    torch.save(net.state_dict(), tmp_path / "model.pt")
    again = load_trained(DinoSegmenter(tiny, adaptation="lora"), tmp_path / "model.pt")
    torch.testing.assert_close(again.state_dict(), net.state_dict())


def test_other_settings_are_named(tiny: dict[str, Any], tmp_path: Path) -> None:
    torch.save(DinoSegmenter(tiny, decoder="linear").state_dict(), tmp_path / "model.pt")
    with pytest.raises(WeightsError) as error:
        load_trained(DinoSegmenter(tiny, decoder="linear", out_channels=5), tmp_path / "model.pt")
    assert "decoder.head.weight: found (2, 32, 1, 1), wanted (5, 32, 1, 1)" in str(error.value)
    with pytest.raises(WeightsError, match=r"missing: decoder\.stages"):
        load_trained(DinoSegmenter(tiny, decoder="unet"), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="there is no trained network here"):
        load_trained(DinoSegmenter(tiny), tmp_path / "nothing.pt")
