# SPDX-License-Identifier: Apache-2.0
"""DINO encoders, decoders, projection heads, networks and their adaptation."""

from monai_dino.networks.adaptation import adapt, count_parameters, load_adapters, save_adapters
from monai_dino.networks.decoders import DECODERS
from monai_dino.networks.encoders import (
    ARCHITECTURES,
    DinoEncoder,
    EncoderOutput,
    cls_attention,
    register_attention,
)
from monai_dino.networks.heads import ProjectionHead
from monai_dino.networks.nets import (
    DinoClassifier,
    DinoEmbedder,
    DinoSegmenter,
    adapted_encoder,
    load_trained,
    require_pretrained,
)

__all__ = [
    "ARCHITECTURES",
    "DECODERS",
    "DinoClassifier",
    "DinoEmbedder",
    "DinoEncoder",
    "DinoSegmenter",
    "EncoderOutput",
    "ProjectionHead",
    "adapt",
    "adapted_encoder",
    "cls_attention",
    "count_parameters",
    "load_adapters",
    "load_trained",
    "register_attention",
    "require_pretrained",
    "save_adapters",
]
