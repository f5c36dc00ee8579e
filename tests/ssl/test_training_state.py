# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_ssl import tiny_distillation, tiny_encoder, tiny_views

from monai_dino.networks import adapt
from monai_dino.ssl import Schedules, SelfDistillation, build_optimizer
from monai_dino.ssl.parameter_groups import set_step_values
from monai_dino.ssl.training_state import prepare_state, training_tensors

CASES: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"adaptation": {"mode": "lora", "rank": 2}},
    "bitfit": {"adaptation": {"mode": "bitfit"}},
    "gram": {"preset": "dinov3", "gram_start": 0.0},
    "softmax, heads first": {"preset": "dino", "ibot_weight": 1.0, "head_warmup": 0.5, "norm_last_layer": True},
}


def training(adaptation: dict[str, Any] | None = None, **changes: Any) -> tuple[SelfDistillation, torch.optim.AdamW]:
    encoder = tiny_encoder()
    adapt(encoder, **(adaptation or {"mode": "full"}))
    network = tiny_distillation(encoder, **changes).train()
    return network, build_optimizer(network.student, network.settings)


def step(network: SelfDistillation, optimizer: torch.optim.AdamW, number: int) -> float:
    values = Schedules(network.settings, 6)(number)
    set_step_values(optimizer, values)
    if values.gram_refresh:
        network.refresh_gram_teacher()
    optimizer.zero_grad(set_to_none=True)
    loss, _ = network(tiny_views(seed=number), values.teacher_temp, values.encoder_frozen)
    loss.backward()
    optimizer.step()
    network.update_teacher(values.momentum)
    return float(loss.detach())


@pytest.mark.parametrize("case", CASES)
def test_a_fresh_training_goes_on_as_the_saved_one(case: str) -> None:
    network, optimizer = training(**CASES[case])
    for number in range(3):
        step(network, optimizer, number)
    saved = {name: value.detach().clone() for name, value in training_tensors(network, optimizer).items()}
    again, fresh = training(**CASES[case])
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.add_(0.5)
    prepare_state(again, fresh, saved)
    own = training_tensors(again, fresh)
    assert own.keys() == saved.keys()
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(saved[name])
    for number in range(3, 6):
        assert step(again, fresh, number) == step(network, optimizer, number)
    for (name, one), other in zip(network.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("case", CASES)
def test_every_tensor_once(case: str) -> None:
    network, optimizer = training(**CASES[case])
    for number in range(4):
        step(network, optimizer, number)
    found = training_tensors(network, optimizer)
    places = [tensor.data_ptr() for tensor in found.values() if tensor.numel()]
    assert len(set(places)) == len(places)
    wanted = {tensor.data_ptr() for tensor in network.state_dict().values() if tensor.numel()}
    assert wanted <= set(places)
    trained = [name for name, p in network.student.named_parameters() if p.requires_grad and p.grad is not None]
    moments = {f"optimizer.{name}.{field}" for name in trained for field in ("step", "exp_avg", "exp_avg_sq")}
    assert {name for name in found if name.startswith("optimizer.")} == moments
    assert ("dino_loss.center" in found) == (network.settings.centering == "softmax")


def test_what_is_shared_is_the_students() -> None:
    network, optimizer = training(**CASES["lora"])
    found = training_tensors(network, optimizer)
    base = "encoder.backbone.embeddings.patch_embeddings.projection.weight"
    assert f"student.{base}" in found
    assert f"teacher.{base}" not in found
    assert any(name.startswith("teacher.") and ".lora_B." in name for name in found)


def test_a_gram_teacher_is_made_only_where_one_was_saved() -> None:
    network, optimizer = training(**CASES["gram"])
    prepare_state(network, optimizer, training_tensors(network, optimizer))
    assert network.gram_teacher is None
    step(network, optimizer, 0)
    again, fresh = training(**CASES["gram"])
    prepare_state(again, fresh, training_tensors(network, optimizer))
    assert again.gram_teacher is not None
