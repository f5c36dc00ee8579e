# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import UNet
from torch import nn

from monai_dino.auto3dseg.contestants import Contestant, find_contestants
from monai_dino.auto3dseg.peers import PEERS
from monai_dino.auto3dseg.wrappers import MeanOverSlices, PaddedNetwork
from monai_dino.errors import ConfigurationError

OURS = {"dinolinear", "dinounet", "dinoguided", "dinolora"}


def test_all_that_there_are() -> None:
    segmenters = find_contestants(None, "segmentation")
    assert {c.name for c in segmenters if c.network is None} == OURS
    assert {"unet2d", "attentionunet2d", "resunet2d", "unet3d", "segresnet"} < {c.name for c in segmenters}
    linear = next(c for c in segmenters if c.name == "dinolinear")
    assert linear.settings["decoder"] == "linear"
    assert set(linear.settings) <= {"adaptation", "decoder", "learning_rate", "encoder_learning_rate"}
    classifiers = find_contestants(None, "classification")
    assert {c.name for c in classifiers if c.network is None} == {"dinofrozen", "dinolora", "dinofull"}
    assert {"densenet", "resnet18", "resnet50"} < {c.name for c in classifiers}


def test_the_order_is_kept_and_names_are_checked(tmp_path: Path) -> None:
    assert [c.name for c in find_contestants(["unet3d", "dinounet"], "segmentation")] == ["unet3d", "dinounet"]
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"name": "mine", "about": "my network", "network": {"_target_": "torch.nn.Conv2d"}}))
    (mine,) = find_contestants([str(own)], "segmentation")
    assert mine == Contestant("mine", "my network", network={"_target_": "torch.nn.Conv2d"})
    assert Contestant.from_plain(json.loads(json.dumps(mine.plain())), "here") == mine
    with pytest.raises(ConfigurationError, match=r"unknown 'unet4d'; for segmentation there are dino"):
        find_contestants(["unet4d"], "segmentation")
    with pytest.raises(ConfigurationError, match="name of its own"):
        find_contestants(["unet3d", "unet3d"], "segmentation")
    with pytest.raises(ConfigurationError, match="none are named"):
        find_contestants([], "segmentation")
    own.write_text(json.dumps({"name": "mine", "about": "", "task": "classification"}))
    with pytest.raises(ConfigurationError, match="is for classification"):
        find_contestants([str(own)], "segmentation")
    own.write_text(json.dumps({"name": "mine", "size": 3}))
    with pytest.raises(ConfigurationError, match=r"own.json: unknown size; it may have about"):
        find_contestants([str(own)], "segmentation")
    own.write_text(json.dumps({"name": "mine"}))
    with pytest.raises(ConfigurationError, match="lacks about"):
        find_contestants([str(own)], "segmentation")


@pytest.mark.parametrize("fields", [{"name": "a_b"}, {"task": "detection"}, {"dims": 4}, {"dims": 3}])
def test_bad_fields(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"a_b|no such algorithm|needs a network"):
        Contestant(**{"name": "ab", "about": "", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["unet2d", "attentionunet2d", "unetr2d", "unet3d"])
def test_peers_can_be_built(name: str) -> None:
    """The larger ones are built likewise; the time is theirs."""
    peer = next(p for p in PEERS if p.name == name)
    values = {"in_channels": 1, "out_channels": 3, "neighbours": 1, "image_size": 32, "slice_size": None}
    network = ConfigParser(values | {"network_def": dict(peer.network or {})}).get_parsed_content("network_def")
    shape = (1, 3, 32, 32) if peer.dims == 2 else (1, 1, 16, 16, 16)
    with torch.no_grad():
        assert network.eval()(torch.rand(shape)).shape == (1, 3, *shape[2:])


def test_padding_is_cut_off_again() -> None:
    torch.manual_seed(0)
    unet = UNet(2, 1, 2, channels=(4, 8, 8), strides=(2, 2)).eval()
    padded = PaddedNetwork(unet, 8)
    exact, odd = torch.rand(1, 1, 16, 24), torch.rand(1, 1, 13, 18)
    with torch.no_grad():
        assert torch.equal(padded(exact), unet(exact))
        assert padded(odd).shape == (1, 2, 13, 18)
        by_hand = torch.nn.functional.pad(odd, (0, 6, 0, 3), mode="replicate")
        assert torch.equal(padded(odd), unet(by_hand)[..., :13, :18])
    with pytest.raises(ConfigurationError, match="divisor=0"):
        PaddedNetwork(unet, 0)


def test_the_mean_over_slices() -> None:
    torch.manual_seed(0)
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    bag = MeanOverSlices(classifier)
    x = torch.rand(3, 1, 3, 4, 5)
    expected = torch.stack([classifier(x[..., k]) for k in range(5)]).mean(dim=0)
    assert torch.allclose(bag(x), expected, atol=1e-6)
    assert torch.allclose(bag(x[..., 0]), classifier(x[..., 0]), atol=1e-6)
    with pytest.raises(ConfigurationError, match="expected"):
        bag(x[0, 0])
