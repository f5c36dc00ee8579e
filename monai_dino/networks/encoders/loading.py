# SPDX-License-Identifier: Apache-2.0
"""Putting weights into a backbone: strictly, with the channels and the normalisation folded."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from monai_dino.errors import ConfigurationError, WeightsError
from monai_dino.networks.encoders.architectures import architecture_fields
from monai_dino.networks.encoders.channels import fold_patch_embedding
from monai_dino.networks.encoders.weights import EncoderWeights

__all__ = ["load_backbone", "resolve_architecture"]

_LOGGER = logging.getLogger(__name__)
_MASK_TOKEN = "embeddings.mask_token"  # noqa: S105 - a tensor's name


def resolve_architecture(arch: str | Mapping[str, Any] | None, loaded: EncoderWeights | None) -> dict[str, Any]:
    """Decides the configuration fields of an encoder.

    Args:
        arch: what the user asked for, or ``None``.
        loaded: the weights, or ``None``.

    Returns:
        Configuration fields; their ``image_size`` is that of the learnt position table, where there is one.

    Raises:
        ConfigurationError: when neither the user nor the weights state an architecture.
        WeightsError: when the weights are of another model type.
    """
    if arch is not None:
        fields = architecture_fields(arch)
        if loaded is not None and fields["model_type"] != loaded.family:
            raise WeightsError(
                f"{loaded.source}: holds weights of model type {loaded.family!r}, but the architecture asked for is of "
                f"model type {fields['model_type']!r}"
            )
    elif loaded is None:
        raise ConfigurationError("encoder: give an architecture name, or weights that state their architecture")
    elif not loaded.config:
        raise ConfigurationError(
            f"encoder: {loaded.source} does not state its architecture, and its shapes fit no single one of the table; "
            f"give `arch`"
        )
    else:
        fields = dict(loaded.config)
    table = None if loaded is None else loaded.state.get("embeddings.position_embeddings")
    if table is not None:
        fields["image_size"] = round((table.shape[1] - 1) ** 0.5) * fields["patch_size"]
    return fields


def load_backbone(
    backbone: nn.Module,
    loaded: EncoderWeights,
    patch_conv: str,
    in_channels: int,
    image_mean: Sequence[float] | None,
    image_std: Sequence[float] | None,
) -> None:
    """Loads weights into a transformers model, in place.

    Args:
        backbone: the model.
        loaded: the weights.
        patch_conv: dotted path of its patch embedding.
        in_channels: channels of the images.
        image_mean: mean of the normalisation to fold; ``None`` takes what the weights state.
        image_std: its standard deviation, likewise.

    Raises:
        WeightsError: when a name is missing, unexpected or of another shape; the message has them all.
    """
    state, own = dict(loaded.state), backbone.state_dict()
    kernel, bias = f"{patch_conv}.weight", f"{patch_conv}.bias"
    if kernel in state and bias in state:
        mean = loaded.image_mean if image_mean is None else image_mean
        std = loaded.image_std if image_std is None else image_std
        state[kernel], state[bias] = fold_patch_embedding(state[kernel], state[bias], in_channels, mean, std)
    if _MASK_TOKEN not in state:  # DINO has none
        state[_MASK_TOKEN] = torch.zeros_like(own[_MASK_TOKEN])
    elif state[_MASK_TOKEN].numel() == own[_MASK_TOKEN].numel():
        state[_MASK_TOKEN] = state[_MASK_TOKEN].reshape(own[_MASK_TOKEN].shape)
    problems = [f"missing: {name}" for name in own if name not in state]
    problems += [f"unexpected: {name}" for name in state if name not in own]
    problems += [
        f"{name}: found {tuple(state[name].shape)}, wanted {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    if problems:
        listed = "\n  ".join(problems)
        raise WeightsError(
            f"{loaded.source}: the weights do not fit the architecture; {len(problems)} names do not:\n  {listed}"
        )
    backbone.load_state_dict(state)
    if loaded.left_out:
        _LOGGER.info("%s: left out, not part of the backbone: %s", loaded.source, ", ".join(loaded.left_out))
