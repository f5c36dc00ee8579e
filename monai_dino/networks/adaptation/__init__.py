# SPDX-License-Identifier: Apache-2.0
"""Adaptation of an encoder: frozen, full, BitFit, LoRA, with the first blocks frozen or not."""

from monai_dino.networks.adaptation.adapt import AdaptationMode, ParameterCount, adapt, count_parameters
from monai_dino.networks.adaptation.adapter_files import load_adapters, save_adapters

__all__ = [
    "AdaptationMode",
    "ParameterCount",
    "adapt",
    "count_parameters",
    "load_adapters",
    "save_adapters",
]
