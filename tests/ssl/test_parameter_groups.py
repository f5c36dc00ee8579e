# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_ssl import FAMILIES, HEADS, tiny_encoder
from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoEncoder, adapt
from monai_dino.ssl import ProjectedEncoder, Schedules, build_optimizer, parameter_groups, ssl_settings
from monai_dino.ssl.parameter_groups import set_step_values

SETTINGS = ssl_settings(**HEADS, layer_decay=0.5, patch_embed_rate=0.2)
Factors = tuple[float, float, bool]

ADAPTATIONS: dict[str, dict[str, Any]] = {
    "full": {"mode": "full"},
    "frozen block": {"mode": "full", "freeze_blocks": 1},
    "lora": {"mode": "lora", "rank": 2},
    "lora in all layers": {"mode": "lora", "rank": 2, "targets": ["q_proj", "o_proj"], "freeze_blocks": 1},
    "bitfit": {"mode": "bitfit"},
}


def factors(network: ProjectedEncoder, decay: float, patches: float) -> dict[int, Factors]:
    """Identity of every parameter -> its factors, found by the kind and the place of its module, not by its name."""
    encoder, found = network.encoder, {}
    places: list[tuple[nn.Module, float]] = [(network, 1.0), (encoder.backbone.get_submodule("embeddings"), decay**3)]
    places += [(encoder.blocks[0], decay**2), (encoder.blocks[1], decay)]
    places += [(encoder.layout.part(encoder.backbone, "patch_conv"), decay**3 * patches)]
    for place, rate in places:
        for module in place.modules():
            kind = type(module).__name__
            for name, parameter in module.named_parameters(recurse=False):
                decayed = not (name == "bias" or isinstance(module, nn.LayerNorm) or kind.endswith("LayerScale"))
                found[id(parameter)] = (rate, float(decayed), False)
    for head in (network.dino_head, network.ibot_head):
        if head is not None:
            found |= {id(p): (1.0, 1.0, True) for p in head.last_layer.parameters()}
    return found


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_trained_parameter_once_with_its_factors(family: str, adaptation: str) -> None:
    encoder = tiny_encoder(family)
    adapt(encoder, **ADAPTATIONS[adaptation])
    network = ProjectedEncoder(encoder, SETTINGS)
    groups = parameter_groups(network, SETTINGS)
    members = [id(p) for group in groups for p in group["params"]]
    assert sorted(members) == sorted(id(p) for p in network.parameters() if p.requires_grad)
    assert any(id(p) in members for p in encoder.parameters())
    expected = factors(network, 0.5, 0.2)
    for group in groups:
        made = (pytest.approx(group["rate_factor"]), group["decay_factor"], group["last_layer"])
        assert {expected[id(p)] for p in group["params"]} == {expected[id(group["params"][0])]}
        assert expected[id(group["params"][0])] == made
    of_encoder = {id(p) for p in encoder.parameters()}
    assert all({id(p) in of_encoder for p in group["params"]} == {group["encoder"]} for group in groups)
    kinds = ("rate_factor", "decay_factor", "encoder", "last_layer")
    assert len({tuple(group[kind] for kind in kinds) for group in groups}) == len(groups)


def test_dinov2_in_numbers() -> None:
    network = ProjectedEncoder(tiny_encoder(), SETTINGS)
    names = {id(p): name for name, p in network.named_parameters()}
    found = {
        names[id(p)]: (group["rate_factor"], group["decay_factor"], group["last_layer"])
        for group in parameter_groups(network, SETTINGS)
        for p in group["params"]
    }
    backbone, last = "encoder.backbone.", "last_layer.parametrizations.weight.original"
    for name, expected in {
        # class token, positions and mask token are decayed, in dinov2's code as here
        backbone + "embeddings.cls_token": (0.125, 1, False),
        backbone + "embeddings.mask_token": (0.125, 1, False),
        backbone + "embeddings.position_embeddings": (0.125, 1, False),
        backbone + "embeddings.patch_embeddings.projection.weight": (0.025, 1, False),
        backbone + "embeddings.patch_embeddings.projection.bias": (0.025, 0, False),
        backbone + "encoder.layer.0.norm1.weight": (0.25, 0, False),
        backbone + "encoder.layer.0.mlp.fc1.weight": (0.25, 1, False),
        backbone + "encoder.layer.1.layer_scale1.lambda1": (0.5, 0, False),
        backbone + "encoder.layer.1.mlp.fc1.bias": (0.5, 0, False),
        backbone + "layernorm.weight": (1, 0, False),
        "dino_head.mlp.0.weight": (1, 1, False),
        "ibot_head.mlp.2.bias": (1, 0, False),
        f"dino_head.{last}0": (1, 1, True),
        f"ibot_head.{last}1": (1, 1, True),
    }.items():
        assert found[name] == pytest.approx(expected), name


def test_ten_blocks_are_not_the_first() -> None:
    encoder = DinoEncoder(FAMILIES["dinov2"] | {"num_hidden_layers": 12})
    network = ProjectedEncoder(encoder, SETTINGS)
    rates = {id(p): group["rate_factor"] for group in parameter_groups(network, SETTINGS) for p in group["params"]}
    for index, block in enumerate(encoder.blocks):
        assert {rates[id(p)] for p in block.parameters()} == {0.5 ** (12 - index)}


def test_registers_have_the_rate_of_the_embeddings() -> None:
    for family in ("dinov2_with_registers", "dinov3_vit"):
        network = ProjectedEncoder(tiny_encoder(family), SETTINGS)
        tokens = network.encoder.backbone.get_parameter("embeddings.register_tokens")
        rates = [g["rate_factor"] for g in parameter_groups(network, SETTINGS) if any(p is tokens for p in g["params"])]
        assert rates == [0.125]


def test_values_of_a_step() -> None:
    network = ProjectedEncoder(tiny_encoder(), SETTINGS)
    optimizer = build_optimizer(network, SETTINGS)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert {group["betas"] for group in optimizer.param_groups} == {(0.9, SETTINGS.beta2)}
    schedules = Schedules(ssl_settings(**HEADS, freeze_last_layer=0.5).resolved(64, False), 10)
    for step in (4, 5):
        values = schedules(step)
        set_step_values(optimizer, values)
        for group in optimizer.param_groups:
            rate = 0 if group["last_layer"] and step < 5 else values.learning_rate
            assert group["lr"] == rate * group["rate_factor"]
            assert group["weight_decay"] == values.weight_decay * group["decay_factor"]
        assert {group["lr"] > 0 for group in optimizer.param_groups if group["last_layer"]} == {step == 5}


def test_the_encoder_has_a_warm_up_of_its_own_after_that_of_the_heads() -> None:
    network = ProjectedEncoder(tiny_encoder(), SETTINGS)
    optimizer = build_optimizer(network, SETTINGS)
    schedules = Schedules(ssl_settings(**HEADS, head_warmup=0.2, warmup=0.1).resolved(64, True), 100)
    for step, factor in ((19, 0.0), (20, 0.1), (24, 0.5), (29, 1.0), (60, 1.0)):
        values = schedules(step)
        set_step_values(optimizer, values)
        for group in optimizer.param_groups:
            wanted = values.learning_rate * group["rate_factor"] * (0.1 * factor if group["encoder"] else 1.0)
            assert group["lr"] == pytest.approx(wanted)
    at_random = Schedules(ssl_settings(**HEADS).resolved(64, False), 100)
    assert all(at_random(step).encoder_rate == at_random(step).learning_rate for step in range(100))


def test_nothing_to_train() -> None:
    network = ProjectedEncoder(tiny_encoder(), SETTINGS).requires_grad_(False)
    with pytest.raises(ConfigurationError, match="adaptation: no parameter of the network is trained"):
        parameter_groups(network, SETTINGS)
