# SPDX-License-Identifier: Apache-2.0
"""DINO encoders: architectures, weights in and out, channel folding, positions."""

from monai_dino.networks.encoders.architectures import ARCHITECTURES
from monai_dino.networks.encoders.attention import cls_attention, register_attention
from monai_dino.networks.encoders.encoder import DinoEncoder, EncoderOutput

__all__ = ["ARCHITECTURES", "DinoEncoder", "EncoderOutput", "cls_attention", "register_attention"]
