# SPDX-License-Identifier: Apache-2.0
"""DINO encoders, decoders, projection heads, networks and their adaptation."""

from monai_dino.networks.adaptation import adapt, count_parameters, load_adapters, save_adapters
from monai_dino.networks.decoders import DECODERS
from monai_dino.networks.encoders import ARCHITECTURES, DinoEncoder, EncoderOutput
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
    "count_parameters",
    "load_adapters",
    "load_trained",
    "require_pretrained",
    "save_adapters",
]
