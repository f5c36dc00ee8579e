# SPDX-License-Identifier: Apache-2.0
"""The linear decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["LinearDecoder"]


class LinearDecoder(nn.Module):
    """One linear layer per patch: what the features alone can tell.

    A 1x1 convolution on the last block's patch tokens (Oquab et al., DINOv2, 2023, section 7.4; Baharoon et al.,
    2023, section 3.3.2). It has ``(embed_dim + 1) * out_channels`` parameters.

    Args:
        embed_dim: width of the encoder.
        in_channels: channels of the image; not used.
        out_channels: classes.
    """

    full_resolution = False

    def __init__(self, embed_dim: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(embed_dim, out_channels, kernel_size=1)

    @staticmethod
    def blocks(num_blocks: int) -> list[int]:
        """The encoder blocks whose maps this decoder takes."""
        return [num_blocks - 1]

    def forward(self, image: torch.Tensor, features: Sequence[torch.Tensor], cover: tuple[int, int]) -> torch.Tensor:
        """Decodes.

        Args:
            image: the image; not used.
            features: the last block's map, shape (B, D, h, w).
            cover: not used.

        Returns:
            Logits on the grid of patches, shape (B, out_channels, h, w).
        """
        logits: torch.Tensor = self.head(features[0])
        return logits
