# SPDX-License-Identifier: Apache-2.0
"""The hierarchical U-Net decoder of the radiology benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from monai.networks.blocks import Convolution, UpSample
from torch import nn

__all__ = ["UNetDecoder"]


class _Stage(nn.Module):
    """Doubles the resolution and adds one skip from the encoder."""

    def __init__(self, channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = UpSample(2, channels, out_channels, scale_factor=2, mode="deconv")
        self.skip = Convolution(2, skip_channels, out_channels, act="RELU", norm="BATCH", bias=False)
        self.conv = Convolution(2, 2 * out_channels, out_channels, act="RELU", norm="BATCH", bias=False)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        x = self.up(x)
        skip = F.interpolate(self.skip(skip), size=x.shape[-2:], mode="bilinear", align_corners=False)
        out: torch.Tensor = self.conv(torch.cat([x, skip], dim=1))
        return out


class UNetDecoder(nn.Module):
    """Four stages that each double the resolution, with skips from four transformer blocks.

    After Baharoon et al., Towards General Purpose Vision Foundation Models for Medical Image Analysis, 2023, section
    3.3.2: the last block's map enters at the bottom and the maps of the four blocks before it are the skips; each
    stage is a transposed convolution and one 3x3 convolution with batch norm and ReLU on the concatenation. Trainable
    size 17.5 M for ViT-L and 39.5 M for ViT-g at one class (17 M and 38 M in their Table 3). Unlike the code published
    with the paper, the last stage keeps a width of its own and the logits come from a 1x1 convolution, not through
    batch norm and ReLU.

    Args:
        embed_dim: width of the encoder.
        in_channels: channels of the image; not used.
        out_channels: classes.
    """

    full_resolution = False

    def __init__(self, embed_dim: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        widths = [embed_dim, embed_dim // 2, embed_dim // 4, embed_dim // 8, max(embed_dim // 32, 8)]
        self.stages = nn.ModuleList(_Stage(wide, embed_dim, narrow) for wide, narrow in pairwise(widths))
        self.head = nn.Conv2d(widths[-1], out_channels, kernel_size=1)

    @staticmethod
    def blocks(num_blocks: int) -> list[int]:
        """The encoder blocks whose maps this decoder takes: the last one, then its skips from late to early."""
        return [max(num_blocks - 1 - i, 0) for i in range(5)]

    def forward(self, image: torch.Tensor, features: Sequence[torch.Tensor], cover: tuple[int, int]) -> torch.Tensor:
        """Decodes.

        Args:
            image: the image; not used.
            features: maps of :meth:`blocks`, shape (B, D, h, w) each.
            cover: not used.

        Returns:
            Logits, shape (B, out_channels, 16 h, 16 w).
        """
        x = features[0]
        for stage, skip in zip(self.stages, features[1:], strict=True):
            x = stage(x, skip)
        logits: torch.Tensor = self.head(x)
        return logits
