# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from common import FIXTURES
from safetensors.torch import load_file
from two_processes import Tensors, on_two_processes

from monai_dino.errors import ConfigurationError, WeightsError
from monai_dino.networks import ProjectionHead
from monai_dino.networks.heads import load_original_head

GOLDEN: dict[str, dict[str, Any]] = {
    "dino": {"in_dim": 48, "out_dim": 256, "hidden_dim": 64, "bottleneck_dim": 32, "norm_last_layer": True},
    "dinov2": {"in_dim": 48, "out_dim": 512, "hidden_dim": 64, "bottleneck_dim": 32},
}
LENGTHS, DIRECTIONS = (f"last_layer.parametrizations.weight.original{part}" for part in (0, 1))


def small(**settings: Any) -> ProjectionHead:
    torch.manual_seed(0)
    return ProjectionHead(**{"in_dim": 6, "out_dim": 12, "hidden_dim": 10, "bottleneck_dim": 4} | settings)


def original(name: str) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    content = load_file(FIXTURES / "golden" / f"head_{name}.safetensors")
    return {k[6:]: v for k, v in content.items() if k.startswith("state.")}, content["input"], content["output"]


@pytest.mark.parametrize("name", GOLDEN)
def test_equals_the_original_code(name: str) -> None:
    state, x, expected = original(name)
    head = ProjectionHead(**GOLDEN[name])
    load_original_head(head, state)
    torch.testing.assert_close(head(x), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(head(x[:4].view(2, 2, -1)), expected[:4].view(2, 2, -1), atol=1e-5, rtol=0)


def test_is_the_formula_in_float64() -> None:
    head, x = small(), torch.randn(3, 6)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    state = {name: value.double().numpy() for name, value in head.state_dict().items()}
    for row, logits in zip(x.double().numpy(), head(x).detach(), strict=True):
        y = row
        for index in (0, 2, 4):
            y = state[f"mlp.{index}.weight"] @ y + state[f"mlp.{index}.bias"]
            if index < 4:
                for i, value in enumerate(y):
                    y[i] = value * (1 + math.erf(value / math.sqrt(2))) / 2
        y = y / math.sqrt(sum(y**2))
        for k, found in enumerate(logits):
            v = state[DIRECTIONS][k]
            assert float(found) == pytest.approx(state[LENGTHS][k, 0] * (v @ y) / math.sqrt(sum(v**2)), abs=1e-5)


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_starts_as_the_original_does(num_layers: int) -> None:
    head = small(hidden_dim=400, num_layers=num_layers)
    linear = [layer for layer in head.mlp if isinstance(layer, torch.nn.Linear)]
    assert len(linear) == num_layers
    assert (linear[0].in_features, linear[-1].out_features) == (6, 4)
    for layer in linear:
        assert not layer.bias.any()
        assert 0.01 < layer.weight.std() < 0.03
    assert head.last_layer.bias is None
    torch.testing.assert_close(head.last_layer.weight.norm(dim=1), torch.ones(12))
    assert head(torch.randn(2, 6)).abs().max() <= 1 + 1e-6


@pytest.mark.parametrize("norm_last_layer", [True, False])
def test_prototypes_keep_their_length_when_told(norm_last_layer: bool) -> None:
    head = small(norm_last_layer=norm_last_layer)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.5)
    head(torch.randn(3, 6)).square().sum().backward()
    optimizer.step()
    kept = torch.allclose(head.last_layer.weight.norm(dim=1), torch.ones(12), atol=1e-6)
    assert kept == norm_last_layer


def test_features_of_zero_length() -> None:
    head, x = small(), torch.zeros(2, 6, requires_grad=True)
    head(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    head, x = small(), torch.randn(4, 6)
    expected = head(x)
    found = copy.deepcopy(head).to(dtype)(x.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0)
    assert copy.deepcopy(head).to(dtype)(torch.zeros(1, 6, dtype=dtype)).isfinite().all()


def test_autocast() -> None:
    head, x = small(), torch.randn(4, 6)
    with torch.autocast("cpu", torch.bfloat16):
        found = head(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), head(x), atol=0.03, rtol=0)
    found.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


def test_a_copy_is_a_head_of_its_own() -> None:
    head = small(norm_last_layer=True)
    teacher, x = copy.deepcopy(head), torch.randn(3, 6)
    before = teacher(x)
    assert torch.equal(before, head(x))
    assert [p.requires_grad for p in teacher.parameters()] == [p.requires_grad for p in head.parameters()]
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(1)
    assert torch.equal(teacher(x), before)
    assert not torch.equal(head(x), before)
    with torch.no_grad():  # an average of parameters reaches the prototypes
        for own, other in zip(teacher.parameters(), head.parameters(), strict=True):
            own.lerp_(other, 1)
    assert torch.equal(teacher(x), head(x))


def test_state_goes_round() -> None:
    head, other = small(), ProjectionHead(6, 12, 10, 4)
    x = torch.randn(3, 6)
    assert not torch.equal(other(x), head(x))
    other.load_state_dict(head.state_dict())
    assert torch.equal(other(x), head(x))


def test_everything_that_does_not_fit_is_named() -> None:
    state, _, _ = original("dino")
    head = ProjectionHead(**GOLDEN["dino"])
    before = copy.deepcopy(head.state_dict())
    del state["mlp.2.bias"]
    state["last_layer.weight_g"] = state["last_layer.weight_g"][:5]
    state["last_layer.bias"] = torch.zeros(256)
    with pytest.raises(WeightsError) as caught:
        load_original_head(head, state, "head.safetensors")
    message = str(caught.value)
    assert message.startswith("head.safetensors: the weights do not fit the head; 3 names do not:")
    assert "\n  missing: mlp.2.bias\n" in message
    assert "\n  unexpected: last_layer.bias\n" in message
    assert message.endswith("\n  last_layer.weight_g: found (5, 1), wanted (256, 1)")
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


@pytest.mark.parametrize("name", ["in_dim", "out_dim", "hidden_dim", "bottleneck_dim", "num_layers"])
def test_settings_out_of_range(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: wanted at least 1, found 0"):
        small(**{name: 0})


def sharded() -> Tensors:
    """A step of a head that FSDP2 has sharded, on this process's half of the batch."""
    from torch.distributed.fsdp import fully_shard

    head = small()
    fully_shard(head.last_layer)
    fully_shard(head)
    rank = dist.get_rank()
    logits = head(batch()[2 * rank : 2 * rank + 2])
    logits.square().mean().backward()
    gradients = {name: p.grad.full_tensor() for name, p in head.named_parameters()}  # type: ignore[union-attr]
    return {"logits": logits.detach()} | gradients


def batch() -> torch.Tensor:
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(5))


def test_can_be_sharded(tmp_path: Path) -> None:
    head = small()
    logits = head(batch())
    logits.square().mean().backward()
    first, second = on_two_processes(sharded, tmp_path)
    torch.testing.assert_close(torch.cat([first["logits"], second["logits"]]), logits.detach())
    for name, parameter in head.named_parameters():
        for found in (first, second):
            torch.testing.assert_close(found[name], parameter.grad, msg=f"{name}: {{}}".format)


def test_targets_are_scored_in_float32_under_autocast() -> None:
    """The last product, which temperatures blow up; the perceptron is bfloat16 either way."""
    head, x = small(), torch.randn(50, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        trained = head(x)
        with torch.no_grad():
            found = head(x)
            hidden = head.mlp(x)
    scaled = torch.nn.functional.normalize(hidden.float(), dim=-1)
    with torch.no_grad():
        expected = scaled @ head.last_layer.weight.T
    assert trained.dtype == torch.bfloat16
    assert trained.requires_grad
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
