# SPDX-License-Identifier: Apache-2.0
"""Segmentation of 2-D images and slices with a DINO encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.networks.decoders import DECODERS
from monai_dino.networks.encoders.encoder import DinoEncoder
from monai_dino.networks.nets.build import adapted_encoder, resize_to

__all__ = ["DinoSegmenter"]


class DinoSegmenter(nn.Module):
    """A DINO encoder and a decoder: images in, logits at the images' own size out.

    Args:
        encoder: architecture name, transformers configuration fields, a :class:`DinoEncoder`, or ``None`` for what
            ``weights`` state.
        decoder: ``linear``, ``unet``, ``guided`` or ``conv``.
        in_channels: channels of the images.
        out_channels: classes, the background included.
        adaptation: what of the encoder is trained: a mode of :func:`adapt`, or a mapping with ``mode`` and its other
            arguments, such as ``{"mode": "lora", "rank": 3}``. ``None`` leaves an encoder that is given as it is, and
            freezes one that is built here.
        image_size: side in pixels of the square that images are resized to for the encoder; ``None`` works at the
            images' own resolution, padded to the patch. The logits have the images' size either way.
        weights: what :class:`DinoEncoder` takes.
        spatial_dims: 2; volumes are done slice by slice, by :class:`monai_dino.inferers.SlicewiseInferer`.

    Raises:
        ConfigurationError: for an unknown decoder, an image size that is not a multiple of the patch, or what the
            encoder and its adaptation refuse.

    Example:
        >>> net = DinoSegmenter("dinov2_small", decoder="linear", in_channels=1, out_channels=3, image_size=112)
        >>> net(torch.rand(2, 1, 60, 44)).shape
        torch.Size([2, 3, 60, 44])
    """

    def __init__(
        self,
        encoder: str | Mapping[str, Any] | DinoEncoder | None = None,
        decoder: str = "unet",
        in_channels: int = 1,
        out_channels: int = 2,
        adaptation: str | Mapping[str, Any] | None = None,
        image_size: int | None = None,
        weights: str | Path | None = None,
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        if spatial_dims != 2:
            raise ConfigurationError(
                f"spatial_dims={spatial_dims}: the network is 2-D; volumes are done slice by slice"
            )
        if decoder not in DECODERS:
            raise ConfigurationError(f"decoder: unknown name {decoder!r}, expected one of {', '.join(DECODERS)}")
        self.encoder = adapted_encoder(encoder, in_channels, weights, adaptation, image_size)
        self.image_size = image_size
        self.decoder = DECODERS[decoder](self.encoder.embed_dim, in_channels, out_channels)
        self.blocks = self.decoder.blocks(self.encoder.num_blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Segments images.

        Args:
            x: images in [0, 1], shape (B, in_channels, H, W).

        Returns:
            Logits, shape (B, out_channels, H, W).
        """
        height, width = x.shape[-2:]
        features = self.encoder.intermediate(resize_to(x, self.image_size), self.blocks)
        patch = self.encoder.patch_size
        rows, columns = features[0].shape[-2:]
        cover = (height, width) if self.image_size else (rows * patch, columns * patch)
        logits: torch.Tensor = self.decoder(x, features, cover)
        if not self.decoder.full_resolution:
            logits = F.interpolate(logits, size=cover, mode="bilinear", align_corners=False)[..., :height, :width]
        return logits
