# SPDX-License-Identifier: Apache-2.0
"""The projection head of self-distillation."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from monai_dino.errors import ConfigurationError, WeightsError
from monai_dino.networks.misfits import misfits

__all__ = ["ProjectionHead", "load_original_head"]

# The original names of the two parts of a weight-normed weight: its length and its direction.
_ORIGINAL = {
    "last_layer.weight_g": "last_layer.parametrizations.weight.original0",
    "last_layer.weight_v": "last_layer.parametrizations.weight.original1",
}


class ProjectionHead(nn.Module):
    """Scores features against prototypes (DINO, section 3.1 and appendix C).

    A multi-layer perceptron with GELU, the features scaled to length 1 in float32, then a linear layer without bias
    whose rows, the prototypes, have a length apart from their direction (weight normalisation).

    Args:
        in_dim: width of the features.
        out_dim: prototypes K.
        hidden_dim: width of the hidden layers.
        bottleneck_dim: width of the scaled features.
        num_layers: linear layers of the perceptron, at least 1.
        norm_last_layer: whether the prototypes keep the length of 1 that they start with. DINO has it so for small
            models; DINOv2 trains the lengths.

    Attributes:
        mlp: the perceptron.
        last_layer: the prototypes.

    Raises:
        ConfigurationError: when a setting is below 1.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int = 65536,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        num_layers: int = 3,
        norm_last_layer: bool = False,
    ) -> None:
        super().__init__()
        sizes = {"in_dim": in_dim, "out_dim": out_dim, "hidden_dim": hidden_dim, "bottleneck_dim": bottleneck_dim}
        for name, value in (sizes | {"num_layers": num_layers}).items():
            if value < 1:
                raise ConfigurationError(f"{name}: wanted at least 1, found {value}")
        self.in_dim = in_dim
        self.out_dim = out_dim
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise([in_dim, *[hidden_dim] * (num_layers - 1), bottleneck_dim]):
            linear = nn.Linear(width_in, width_out)
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.GELU()]
        self.mlp = nn.Sequential(*layers[:-1])
        self.last_layer = weight_norm(nn.Linear(bottleneck_dim, out_dim, bias=False))
        length = self.last_layer.get_parameter("parametrizations.weight.original0")
        nn.init.ones_(length)
        length.requires_grad_(not norm_last_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores features.

        Args:
            x: features, shape (..., in_dim).

        Returns:
            Logits, shape (..., out_dim).
        """
        x = self.mlp(x)
        eps = 1e-6 if x.dtype == torch.float16 else 1e-12
        scaled = F.normalize(x.float(), dim=-1, eps=eps)
        if torch.is_grad_enabled():
            logits: torch.Tensor = self.last_layer(scaled.to(x.dtype))
            return logits
        # A teacher's are divided by temperatures as low as 0.02: what bfloat16 rounds off would move its targets.
        with torch.autocast(x.device.type, enabled=False):
            dtype = self.last_layer.get_parameter("parametrizations.weight.original0").dtype
            logits = self.last_layer(scaled.to(dtype))
        return logits


def load_original_head(
    head: ProjectionHead, state: Mapping[str, torch.Tensor], source: str = "projection head"
) -> None:
    """Loads a head of facebookresearch dino or dinov2 in place, such as the one published with RAD-DINO.

    Args:
        head: the head.
        state: its state dict under the original names, without a prefix: ``mlp.0.weight``, ``last_layer.weight_g``, ...
        source: name of the file, for errors.

    Raises:
        WeightsError: when a tensor is missing, unexpected or of another shape; the message has them all, and the head
            is left as it was.
    """
    renamed = {new: old for old, new in _ORIGINAL.items()}
    own = {renamed.get(name, name): value for name, value in head.state_dict().items()}
    if problems := misfits(state, own):
        listed = "\n  ".join(problems)
        raise WeightsError(f"{source}: the weights do not fit the head; {len(problems)} names do not:\n  {listed}")
    head.load_state_dict({_ORIGINAL.get(name, name): value for name, value in state.items()})
