# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from monai_dino.errors import ConfigurationError, NetworkError
from monai_dino.inferers import AutocastInferer
from monai_dino.inferers.autocast import autocast, resolved_precision

CPU = torch.device("cpu")


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.GELU(), nn.Conv2d(8, 3, 1)).eval()


def seen_type(precision: Any) -> torch.dtype:
    with autocast(precision, CPU):
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


def test_fp32_is_exact(network: nn.Module) -> None:
    x = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(AutocastInferer("fp32")(x, network), network(x))
    assert seen_type("fp32") == torch.float32


def test_bf16_is_float32_outside_and_close(network: nn.Module) -> None:
    x = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        found, exact = AutocastInferer("bf16")(x, network), network(x)
    assert seen_type("bf16") == torch.bfloat16
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact)
    torch.testing.assert_close(found, exact, atol=0.02, rtol=0.02)


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True, "avx512_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx2": True}, torch.float32),
    ],
)
def test_auto_goes_by_the_cpu(able: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert seen_type("auto") == expected
    assert resolved_precision("auto", CPU) == ("bf16" if expected == torch.bfloat16 else "fp32")
    assert resolved_precision("fp16", CPU) == "fp16"


@pytest.mark.parametrize("able", [False, True])
def test_auto_goes_by_the_gpu(able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: able and not including_emulation)
    asked: list[Any] = []
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: asked.append((*args, kwargs)))
    autocast("auto", torch.device("cuda"))
    assert asked == [("cuda", torch.bfloat16, {"enabled": able})]


def test_gradients_reach_the_network(network: nn.Module) -> None:
    AutocastInferer("bf16")(torch.rand(1, 1, 8, 8), network).sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in network.parameters())


def test_fp16_is_not_trained_in(network: nn.Module) -> None:
    """Without a scaler small gradients would become zero."""
    x, infer = torch.rand(1, 1, 8, 8), AutocastInferer("fp16")
    with pytest.raises(ConfigurationError, match="set precision to bf16 or fp32"):
        infer(x, network.train())
    with torch.no_grad():
        assert infer(x, network).dtype == torch.float32
    assert infer(x, network.eval()).dtype == torch.float32


def test_further_arguments_are_passed_on() -> None:
    found = AutocastInferer("fp32")(torch.ones(1), lambda x, y, z: x + y * z, 3, z=4)
    assert found.item() == 13


def test_unknown_precision() -> None:
    with pytest.raises(ConfigurationError, match="precision: unknown 'fp8', expected one of auto, fp32, bf16, fp16"):
        AutocastInferer("fp8")(torch.ones(1), nn.Identity())  # type: ignore[arg-type]


def test_fp32_holds_inside_another_context(network: nn.Module) -> None:
    x = torch.rand(2, 1, 8, 8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = AutocastInferer("fp32")(x, network)
    with torch.no_grad():
        assert torch.equal(found, network(x))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_output_that_is_not_finite(value: float) -> None:
    image = MetaTensor(torch.ones(1, 1, 2, 2), meta={"filename_or_obj": "scan.nii"})
    with pytest.raises(NetworkError, match=r"scan.nii: the network's output has values that are not finite"):
        AutocastInferer("fp32")(image, lambda x: x * value)
