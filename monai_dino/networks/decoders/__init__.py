# SPDX-License-Identifier: Apache-2.0
"""Decoders from patch features to logits."""

from __future__ import annotations

from monai_dino.networks.decoders.conv import ConvDecoder
from monai_dino.networks.decoders.guided import GuidedDecoder
from monai_dino.networks.decoders.linear import LinearDecoder
from monai_dino.networks.decoders.unet import UNetDecoder

__all__ = ["DECODERS", "ConvDecoder", "GuidedDecoder", "LinearDecoder", "UNetDecoder"]

DECODERS: dict[str, type[ConvDecoder | GuidedDecoder | LinearDecoder | UNetDecoder]] = {
    "linear": LinearDecoder,
    "unet": UNetDecoder,
    "guided": GuidedDecoder,
    "conv": ConvDecoder,
}
"""Name -> class, as ``DinoSegmenter(decoder=...)`` takes it.

Each is built from ``(embed_dim, in_channels, out_channels)``; ``blocks(num_blocks)`` says which encoder blocks' maps it
takes; ``full_resolution`` says whether its logits are at the image's size or at the size of the area the maps cover.
"""
