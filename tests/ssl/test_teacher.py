# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_ssl import HEADS, tiny_encoder
from torch import nn

from monai_dino.networks import adapt
from monai_dino.ssl import ProjectedEncoder, ssl_settings
from monai_dino.ssl.teacher import averaged_parameters, copy_of, copy_parameters, frozen_parameters, update_average

ADAPTATIONS: list[dict[str, Any]] = [
    {"mode": "full"},
    {"mode": "full", "freeze_blocks": 1},
    {"mode": "lora", "rank": 2},
    {"mode": "bitfit"},
]


def pair(adaptation: dict[str, Any] | None = None, **changes: Any) -> tuple[ProjectedEncoder, ProjectedEncoder]:
    encoder = tiny_encoder()
    adapt(encoder, **(adaptation or {"mode": "full"}))
    student = ProjectedEncoder(encoder, ssl_settings(**HEADS, **changes))
    return student, copy_of(student, frozen_parameters(student))


def move(network: nn.Module, seed: int) -> None:
    """What an optimiser may do: every trained parameter gets another value."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))


@settings(deadline=None, max_examples=15)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=4), st.sampled_from(ADAPTATIONS))
def test_is_the_moving_average(momenta: list[float], adaptation: dict[str, Any]) -> None:
    student, teacher = pair(adaptation)
    expected = {name: p.detach().double().clone() for name, p in student.named_parameters()}
    for step, momentum in enumerate(momenta):
        move(student, step)
        update_average(student, teacher, momentum)
        for name, own in student.named_parameters():
            expected[name] = momentum * expected[name] + (1 - momentum) * own.detach().double()
    for name, parameter in teacher.named_parameters():
        torch.testing.assert_close(parameter.double(), expected[name], atol=1e-5, rtol=1e-5)


def test_is_no_alias_of_the_student() -> None:
    student, teacher = pair()
    before = [p.clone() for p in teacher.parameters()]
    move(student, 0)
    assert all(torch.equal(p, b) for p, b in zip(teacher.parameters(), before, strict=True))
    update_average(student, teacher, 1.0)
    assert all(torch.equal(p, b) for p, b in zip(teacher.parameters(), before, strict=True))
    update_average(student, teacher, 0.0)
    for own, theirs in zip(student.parameters(), teacher.parameters(), strict=True):
        torch.testing.assert_close(own.detach(), theirs, atol=1e-6, rtol=1e-6)
    for (name, theirs), old in zip(teacher.named_parameters(), before, strict=True):
        assert torch.equal(theirs, old) == name.endswith("mask_token"), name  # which is not trained here


def test_student_and_teacher_that_agree_go_on_agreeing_to_the_bit() -> None:
    student, teacher = pair()
    for momentum in (0.1, 0.992, 0.3):
        update_average(student, teacher, momentum)
        assert all(torch.equal(a, b) for a, b in zip(student.parameters(), teacher.parameters(), strict=True))


@pytest.mark.parametrize("adaptation", ADAPTATIONS, ids=str)
def test_shares_what_is_not_trained_and_nothing_else(adaptation: dict[str, Any]) -> None:
    student, teacher = pair(adaptation, norm_last_layer=True)
    theirs = dict(teacher.named_parameters())
    assert theirs.keys() == dict(student.named_parameters()).keys()
    for name, own in student.named_parameters():
        assert (own is theirs[name]) == (not own.requires_grad), name
        assert (own.data_ptr() == theirs[name].data_ptr()) == (not own.requires_grad), name
    averaged = averaged_parameters(student, teacher)
    assert averaged.keys() == {name for name, p in student.named_parameters() if p.requires_grad}
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not any(module.training for module in teacher.modules())
    assert any(p.requires_grad for p in student.encoder.parameters())


def test_a_lora_teacher_costs_adapters_and_heads() -> None:
    student, teacher = pair({"mode": "lora", "rank": 2})
    own = {id(p) for p in student.parameters()}
    cost = sum(p.numel() for p in teacher.encoder.parameters() if id(p) not in own)
    assert cost == 2 * 2 * 2 * (24 + 24)  # blocks, q and v, rank, width in and out
    assert cost < 0.05 * sum(p.numel() for p in student.encoder.parameters())


def test_a_copy_that_shares_nothing_stands_alone() -> None:
    network = tiny_encoder().requires_grad_(False)
    copied, x = copy_of(network), torch.rand(1, 1, 16, 16)
    before = copied(x).cls
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert torch.equal(copied(x).cls, before)
    copy_parameters(network, copied)
    assert torch.equal(copied(x).cls, network(x).cls)
    assert not torch.equal(copied(x).cls, before)


def test_no_gradient_is_kept() -> None:
    student, teacher = pair()
    update_average(student, teacher, 0.5)
    assert all(p.is_leaf and p.grad_fn is None and p.grad is None for p in teacher.parameters())
    assert all(p.requires_grad and p.grad is None for p in student.encoder.blocks.parameters())
