# SPDX-License-Identifier: Apache-2.0
"""The guided upsampling decoder: a small U-Net on the image that is guided by the encoder's maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.blocks import Convolution
from torch import nn

from monai_dino.networks.encoders.padding import pad_to_multiple

__all__ = ["GuidedDecoder", "place_features"]

_STRIDE = 8  # of the bottleneck of the U-Net on the image


class GuidedDecoder(nn.Module):
    """Upsamples patch features to the image's own resolution with the image as a guide.

    After section 7 of the LoRA paper ("on top of the low-res map from the linear segmentor and the image features, we
    learn a decoder that upsamples the resolution"): a U-Net reads the image at its own resolution; at its bottleneck
    it takes the maps of four encoder blocks and the low-resolution logits of a linear head, each placed where it
    lies in the image; the upsampled linear logits are added to the output, so that the U-Net learns what they lack.

    Args:
        embed_dim: width of the encoder.
        in_channels: channels of the image.
        out_channels: classes.
        width: width at the image's resolution; it doubles at each of three levels below.
    """

    full_resolution = True

    def __init__(self, embed_dim: int, in_channels: int, out_channels: int, width: int = 24) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.linear = nn.Conv2d(embed_dim, out_channels, kernel_size=1)
        self.project = Convolution(2, 4 * embed_dim, widths[3], kernel_size=1, act="RELU", norm="BATCH", bias=False)
        self.down = nn.ModuleList(
            _double(before, after) for before, after in zip([in_channels, *widths[:3]], widths, strict=True)
        )
        self.bottleneck = _double(2 * widths[3] + out_channels, widths[3])
        self.up = nn.ModuleList(_double(3 * narrow, narrow) for narrow in reversed(widths[:3]))
        self.head = nn.Conv2d(width, out_channels, kernel_size=1)

    @staticmethod
    def blocks(num_blocks: int) -> list[int]:
        """The encoder blocks whose maps this decoder takes: the last of each quarter."""
        return [max((quarter * num_blocks) // 4 - 1, 0) for quarter in (1, 2, 3, 4)]

    def forward(self, image: torch.Tensor, features: Sequence[torch.Tensor], cover: tuple[int, int]) -> torch.Tensor:
        """Decodes.

        Args:
            image: images, shape (B, C, H, W).
            features: maps of :meth:`blocks`, shape (B, D, h, w) each.
            cover: height and width, in pixels of the image, of the area that the maps cover from its first pixel on.

        Returns:
            Logits, shape (B, out_channels, H, W).
        """
        height, width = image.shape[-2:]
        x = pad_to_multiple(image, _STRIDE)
        skips = []
        for index, block in enumerate(self.down):
            x = block(x if index == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        coarse = self.linear(features[-1])
        guide = torch.cat([self.project(torch.cat(list(features), dim=1)), coarse], dim=1)
        x = self.bottleneck(torch.cat([x, place_features(guide, cover, (x.shape[-2], x.shape[-1]))], dim=1))
        for block, skip in zip(self.up, reversed(skips[:3]), strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skip], dim=1))
        coarse = F.interpolate(coarse, size=cover, mode="bilinear", align_corners=False)
        logits: torch.Tensor = self.head(x)[..., :height, :width] + coarse[..., :height, :width]
        return logits


def place_features(features: torch.Tensor, cover: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """Samples maps at the centres of the cells of a coarser grid on the image, keeping them in register.

    Args:
        features: maps, shape (B, D, h, w).
        cover: height and width, in pixels, of the area that the maps cover.
        size: rows and columns of the grid, whose cells are of 8 by 8 pixels.

    Returns:
        Maps, shape (B, D, *size), bilinear between the cells of ``features`` and constant beyond them.
    """
    centres = [
        (torch.arange(n, device=features.device, dtype=torch.float32) + 0.5) * (2 * _STRIDE / c) - 1
        for n, c in zip(size, cover, strict=True)
    ]
    # type_as: a traced network keeps the device of arange, and would not run on another.
    grid = torch.stack(torch.meshgrid(centres[1], centres[0], indexing="xy"), dim=-1)
    grid = grid.type_as(features).expand(features.shape[0], -1, -1, -1)
    return F.grid_sample(features, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _double(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        Convolution(2, in_channels, out_channels, act="RELU", norm="BATCH", bias=False),
        Convolution(2, out_channels, out_channels, act="RELU", norm="BATCH", bias=False),
    )
