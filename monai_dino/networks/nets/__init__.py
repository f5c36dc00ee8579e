# SPDX-License-Identifier: Apache-2.0
"""Networks that a bundle's ``network_def`` names."""

from monai_dino.networks.nets.build import adapted_encoder
from monai_dino.networks.nets.classifier import DinoClassifier
from monai_dino.networks.nets.embedder import DinoEmbedder
from monai_dino.networks.nets.segmenter import DinoSegmenter
from monai_dino.networks.nets.trained import load_trained, require_pretrained

__all__ = ["DinoClassifier", "DinoEmbedder", "DinoSegmenter", "adapted_encoder", "load_trained", "require_pretrained"]
