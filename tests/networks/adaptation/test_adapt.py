# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from common import TINY

from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoClassifier, DinoEncoder, DinoSegmenter, adapt, count_parameters


def test_lora_on_vit_s_costs_what_the_paper_says() -> None:
    encoder = DinoEncoder("dinov2_small")
    assert adapt(encoder, "lora", rank=3).trainable == 12 * 2 * 3 * 768 == 55_296


def test_bitfit_on_vit_s_costs_what_the_docs_say() -> None:
    assert adapt(DinoEncoder("dinov2_small"), "bitfit").trainable == 51_456


def test_linear_head_on_vit_s() -> None:
    assert count_parameters(DinoSegmenter("dinov2_small", decoder="linear", out_channels=3)).trainable == 1_155


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("mode", ["frozen", "full", "bitfit", "lora"])
@pytest.mark.parametrize("freeze", [0, 2])
def test_only_what_is_said_gets_gradients(family: str, mode: str, freeze: int) -> None:
    torch.manual_seed(0)
    net = DinoSegmenter(
        TINY[family], decoder="linear", adaptation={"mode": mode, "freeze_blocks": freeze}, out_channels=2
    )
    for name, parameter in net.encoder.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter)  # at its zero start it would stop the gradient of lora_A
    net.train()(torch.rand(2, 1, 32, 32)).sum().backward()
    moved = {n for n, p in net.encoder.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    trained = {n for n, p in net.encoder.named_parameters() if p.requires_grad}
    assert moved <= trained
    pattern = {"frozen": r"$^", "full": r".", "bitfit": r"\.bias$", "lora": r"\.lora_[AB]\."}[mode]
    assert all(re.search(pattern, n) for n in trained)
    assert bool(trained) == (mode != "frozen")
    frozen_part = [n for n in trained if "embeddings" in n or re.search(r"layers?\.[01]\.", n)]
    assert not (freeze and frozen_part)
    if mode != "frozen":
        assert any(re.search(r"layers?\.3\.", n) for n in moved)


@pytest.mark.parametrize("mode", ["full", "bitfit", "lora"])
@pytest.mark.parametrize("network", [DinoSegmenter, DinoClassifier])
def test_a_step_lowers_the_loss(mode: str, network: Any, tiny: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = network(tiny, adaptation=mode, in_channels=2)
    x = torch.rand(2, 2, 28, 28)
    encoder = [p for p in net.encoder.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(encoder, lr=1e-4)
    losses = []
    for _ in range(3):
        loss = net(x).square().mean()
        losses.append(float(loss))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[2] < losses[0]


def test_adapters_of_an_encoder_in_evaluation_mode_do_not_drop_out(tiny: dict[str, Any]) -> None:
    encoder = DinoEncoder(tiny).eval()
    adapt(encoder, "lora", dropout=0.5)
    for name, parameter in encoder.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter)
    x = torch.rand(1, 1, 28, 28)
    assert torch.equal(encoder(x).cls, encoder(x).cls)


def test_frozen_encoder_is_in_evaluation_mode_from_the_start(tiny: dict[str, Any]) -> None:
    assert not DinoSegmenter(tiny, adaptation="frozen").encoder.training


def test_report_is_one_line(tiny: dict[str, Any]) -> None:
    count = adapt(DinoEncoder(tiny), "bitfit", freeze_blocks=1)
    assert re.fullmatch(r"[\d,]+ of [\d,]+ parameters are trained \(\d+\.\d\d %\)", str(count))


def test_what_is_refused(tiny: dict[str, Any]) -> None:
    encoder = DinoEncoder(tiny)
    with pytest.raises(ConfigurationError, match="unknown mode 'qlora', expected one of frozen, full, bitfit, lora"):
        adapt(encoder, "qlora")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="freeze_blocks=5, but the encoder has 4 blocks"):
        adapt(encoder, "full", freeze_blocks=5)
    with pytest.raises(ConfigurationError, match="rank of LoRA must be at least 1"):
        adapt(encoder, "lora", rank=0)
    with pytest.raises(ConfigurationError, match="LoRA would train nothing"):
        adapt(encoder, "lora", freeze_blocks=4)
    with pytest.raises(ConfigurationError, match=r"LoRA targets qkv match no linear layer.*q_proj"):
        adapt(encoder, "lora", targets=["qkv"])
    with pytest.raises(ConfigurationError, match="rank, dropout given in mode 'full', but only 'lora' has them"):
        adapt(encoder, "full", rank=8, dropout=0.0)
    adapt(encoder, "lora")
    with pytest.raises(ConfigurationError, match="has LoRA adapters already"):
        adapt(encoder, "lora")
