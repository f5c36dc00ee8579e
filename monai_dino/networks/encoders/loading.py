# SPDX-License-Identifier: Apache-2.0
"""Putting weights into a backbone: strictly, with the channels and the normalisation folded."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from monai_dino.errors import ConfigurationError, WeightsError
from monai_dino.networks.encoders.architectures import (
    architecture_differences,
    architecture_fields,
    architecture_name,
    build_config,
)
from monai_dino.networks.encoders.channels import PerChannel, fold_patch_embedding
from monai_dino.networks.encoders.source import EncoderWeights
from monai_dino.networks.misfits import misfits

__all__ = ["load_backbone", "resolve_architecture"]

_LOGGER = logging.getLogger(__name__)
_PERIOD_TOLERANCE = 2**-8  # a file may hold the periods in bfloat16
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
        WeightsError: when the weights are of another model type, or their ``config.json`` states another architecture.
    """
    if arch is not None:
        fields = architecture_fields(arch)
        if loaded is not None:
            _require_same_architecture(loaded, fields)
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
        fields["image_size"] = round((table.shape[1] - 1) ** 0.5) * build_config(fields).patch_size
    return fields


def _require_same_architecture(loaded: EncoderWeights, fields: dict[str, Any]) -> None:
    if fields["model_type"] != loaded.family:
        raise WeightsError(
            f"{loaded.source}: holds weights of model type {loaded.family!r}, but the architecture asked for is of "
            f"model type {fields['model_type']!r}; {_remedy(loaded)}"
        )
    if loaded.config_stated and (differences := architecture_differences(loaded.config, fields)):
        listed = "\n  ".join(differences)
        raise WeightsError(
            f"{loaded.source}: its config.json states another architecture than the one asked for; {_remedy(loaded)}:"
            f"\n  {listed}"
        )


def _remedy(loaded: EncoderWeights) -> str:
    name = architecture_name(loaded.config) if loaded.config else None
    return "leave `arch`/`encoder` out" + (f" or set it to {name!r}" if name else "")


def load_backbone(
    backbone: nn.Module,
    loaded: EncoderWeights,
    patch_conv: str,
    in_channels: int,
    image_mean: PerChannel | None,
    image_std: PerChannel | None,
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
        WeightsError: when a name is missing, unexpected or of another shape; the message has them all; or when the
            weights were trained with other rotary positions.
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
    if problems := misfits(state, own):
        listed = "\n  ".join(problems)
        raise WeightsError(
            f"{loaded.source}: {_other_architecture(backbone, loaded)}the weights do not fit the architecture; "
            f"{len(problems)} names do not:\n  {listed}"
        )
    _check_rope(backbone, loaded)
    backbone.load_state_dict(state)
    if loaded.left_out:
        _LOGGER.info("%s: left out, not part of the backbone: %s", loaded.source, ", ".join(loaded.left_out))


def _other_architecture(backbone: Any, loaded: EncoderWeights) -> str:
    """What the weights are and what to do about it, where that is known and is not what was asked for."""
    if not loaded.config or not architecture_differences(loaded.config, backbone.config.to_dict()):
        return ""
    return f"holds a {architecture_name(loaded.config) or loaded.family}; {_remedy(loaded)}; "


def _check_rope(backbone: Any, loaded: EncoderWeights) -> None:
    """Compares the periods in the file with the derived ones, which are used, as in transformers' own conversion."""
    if (periods := loaded.rope_periods) is None:
        return
    found, wanted = periods.double().flatten(), 1 / backbone.rope_embeddings.inv_freq.double()
    if found.shape != wanted.shape:
        raise WeightsError(
            f"{loaded.source}: rope_embed.periods: found {len(found)} periods, wanted {len(wanted)}, a quarter of the "
            f"width of a head; give `arch`/`encoder` with the num_attention_heads of the weights"
        )
    if not ((found - wanted).abs() <= _PERIOD_TOLERANCE * wanted).all():
        listed = ["found " + ", ".join(f"{v:.4g}" for v in found), "wanted " + ", ".join(f"{v:.4g}" for v in wanted)]
        raise WeightsError(
            f"{loaded.source}: rope_embed.periods: {'; '.join(listed)}; the weights were trained with another base of "
            f"the rotary positions; give `arch`/`encoder` as a mapping with their rope_theta"
        )
