# SPDX-License-Identifier: Apache-2.0
"""What lets networks of MONAI take the images that ours take."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from monai_dino.errors import ConfigurationError

__all__ = ["MeanOverSlices", "PaddedNetwork"]


class MeanOverSlices(nn.Module):
    """A classifier of images, for volumes as bags of slices: the mean of the slices' logits.

    As :class:`~monai_dino.networks.DinoClassifier` with ``slice_pooling="mean"``.

    Args:
        network: maps images (N, C, H, W) to logits (N, K).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classifies images or volumes.

        Args:
            x: shape (B, C, H, W) or (B, C, H, W, slices).

        Returns:
            Logits, shape (B, K).

        Raises:
            ConfigurationError: for anything else.
        """
        if x.ndim not in (4, 5):
            raise ConfigurationError(f"classifier: expected (B, C, H, W) or (B, C, H, W, slices), got {tuple(x.shape)}")
        slices = x.unsqueeze(1) if x.ndim == 4 else x.permute(0, 4, 1, 2, 3)
        logits: torch.Tensor = self.network(slices.flatten(0, 1))
        mean: torch.Tensor = logits.unflatten(0, slices.shape[:2]).mean(dim=1)
        return mean


class PaddedNetwork(nn.Module):
    """A network that takes multiples of some size only, for images of any size: padded by their edge, and cut back.

    Args:
        network: maps images (N, C, H, W) to logits (N, K, H, W).
        divisor: what it takes multiples of, in pixels.

    Raises:
        ConfigurationError: for a divisor below 1.
    """

    def __init__(self, network: nn.Module, divisor: int) -> None:
        super().__init__()
        if divisor < 1:
            raise ConfigurationError(f"divisor={divisor}: expected at least 1")
        self.network = network
        self.divisor = divisor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Runs the network.

        Args:
            x: shape (N, C, H, W).

        Returns:
            Logits, shape (N, K, H, W).
        """
        height, width = x.shape[-2:]
        padded = F.pad(x, (0, -width % self.divisor, 0, -height % self.divisor), mode="replicate")
        logits: torch.Tensor = self.network(padded)
        return logits[..., :height, :width]
