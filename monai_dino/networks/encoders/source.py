# SPDX-License-Identifier: Apache-2.0
"""What a source of weights gives: the tensors, and what it states about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from monai_dino.networks.encoders.channels import IMAGENET_MEAN, IMAGENET_STD, PerChannel

__all__ = ["INPUT_RECORD", "EncoderWeights"]

INPUT_RECORD = "monai_dino_input"
"""Field of an exported ``config.json`` that states the normalisation its weights still expect."""


@dataclass
class EncoderWeights:
    """Tensors of a backbone under the names of transformers 5, and what their source states about them.

    Attributes:
        source: where they come from, for messages.
        family: transformers model type.
        state: the tensors.
        config: configuration fields that the source states or that the tensors imply; empty when unknown.
        config_stated: whether the source states them, in a ``config.json``.
        image_mean: mean that the input is to be normalised with.
        image_std: standard deviation, likewise.
        left_out: names in the source that are not part of a backbone.
        rope_periods: periods of the rotary positions, where the source holds them.
    """

    source: str
    family: str
    state: dict[str, torch.Tensor]
    config: dict[str, Any]
    config_stated: bool = False
    image_mean: PerChannel = IMAGENET_MEAN
    image_std: PerChannel = IMAGENET_STD
    left_out: list[str] = field(default_factory=list)
    rope_periods: torch.Tensor | None = None
