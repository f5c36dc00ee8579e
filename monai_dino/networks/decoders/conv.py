# SPDX-License-Identifier: Apache-2.0
"""The convolutional decoder of the left-atrium paper."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution, UpSample
from torch import nn

__all__ = ["ConvDecoder"]


class ConvDecoder(nn.Module):
    """A 1x1 convolution, then convolutions and upsampling without skips.

    After the left-atrium paper (section 2.1): a layer that "adjusts the number of channels" of the last block's map,
    then "several convolutional and up-sampling layers". The paper gives no widths; here each of four stages doubles the
    resolution and halves the width, from 256 to 16.

    Args:
        embed_dim: width of the encoder.
        in_channels: channels of the image; not used.
        out_channels: classes.
    """

    full_resolution = False

    def __init__(self, embed_dim: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        width = 256
        layers: list[nn.Module] = [nn.Conv2d(embed_dim, width, kernel_size=1)]
        for _ in range(4):
            layers += [
                UpSample(2, width, width, scale_factor=2, mode="nontrainable", interp_mode="bilinear"),
                Convolution(2, width, width // 2, act="RELU", norm="BATCH", bias=False),
            ]
            width //= 2
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, out_channels, kernel_size=1))

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
            Logits, shape (B, out_channels, 16 h, 16 w).
        """
        logits: torch.Tensor = self.layers(features[0])
        return logits
