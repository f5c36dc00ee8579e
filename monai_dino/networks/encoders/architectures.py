# SPDX-License-Identifier: Apache-2.0
"""The architecture table: the sizes of the public DINO, DINOv2 and DINOv3 vision transformers."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from monai_dino.errors import ConfigurationError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = [
    "ARCHITECTURES",
    "FAMILIES",
    "architecture_differences",
    "architecture_fields",
    "architecture_name",
    "build_config",
    "known_fields",
]

FAMILIES = ("vit", "dinov2", "dinov2_with_registers", "dinov3_vit")
"""The transformers model types that can be hosted; ``vit`` is the DINO (2021) transformer."""


# The fields that decide what a network computes; the others describe its training or its bookkeeping.
_FUNCTIONAL = (
    "hidden_size",
    "intermediate_size",
    "mlp_ratio",
    "num_hidden_layers",
    "num_attention_heads",
    "num_register_tokens",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
    "use_swiglu_ffn",
    "use_gated_mlp",
    "qkv_bias",
    "query_bias",
    "key_bias",
    "value_bias",
    "proj_bias",
    "mlp_bias",
    "rope_theta",
)
_EPS_TOLERANCE = 1e-5  # converted DINO weights state 1e-12 where the original has 1e-6


def _dino(hidden_size: int, heads: int, patch_size: int) -> dict[str, Any]:
    return {
        "model_type": "vit",
        "hidden_size": hidden_size,
        "intermediate_size": 4 * hidden_size,
        "num_hidden_layers": 12,
        "num_attention_heads": heads,
        "patch_size": patch_size,
        "image_size": 224,
        "layer_norm_eps": 1e-6,
        "hidden_dropout_prob": 0.0,
    }


def _dinov2(hidden_size: int, layers: int, registers: int = 0, swiglu: bool = False) -> dict[str, Any]:
    config: dict[str, Any] = {
        "model_type": "dinov2_with_registers" if registers else "dinov2",
        "hidden_size": hidden_size,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden_size // 64,
        "mlp_ratio": 4,
        "patch_size": 14,
        "image_size": 518,
        "layer_norm_eps": 1e-6,
        "layerscale_value": 1.0,
        "use_swiglu_ffn": swiglu,
    }
    return config | ({"num_register_tokens": registers} if registers else {})


def _dinov3(
    hidden_size: int, layers: int, heads: int, hidden: int, gated: bool = False, **extra: Any
) -> dict[str, Any]:
    return {
        "model_type": "dinov3_vit",
        "hidden_size": hidden_size,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "patch_size": 16,
        "image_size": 224,
        "layer_norm_eps": 1e-5,
        "num_register_tokens": 4,
        "use_gated_mlp": gated,
        "hidden_act": "silu" if gated else "gelu",
    } | extra


ARCHITECTURES: dict[str, dict[str, Any]] = {
    # facebookresearch/dino, vision_transformer.py
    "dino_vits16": _dino(384, 6, 16),
    "dino_vits8": _dino(384, 6, 8),
    "dino_vitb16": _dino(768, 12, 16),
    "dino_vitb8": _dino(768, 12, 8),
    # facebookresearch/dinov2, models/vision_transformer.py and hub/backbones.py
    "dinov2_small": _dinov2(384, 12),
    "dinov2_base": _dinov2(768, 12),
    "dinov2_large": _dinov2(1024, 24),
    "dinov2_giant": _dinov2(1536, 40, swiglu=True),
    "dinov2_small_reg": _dinov2(384, 12, registers=4),
    "dinov2_base_reg": _dinov2(768, 12, registers=4),
    "dinov2_large_reg": _dinov2(1024, 24, registers=4),
    "dinov2_giant_reg": _dinov2(1536, 40, registers=4, swiglu=True),
    # facebookresearch/dinov3, hub/backbones.py
    "dinov3_vits16": _dinov3(384, 12, 6, 1536),
    "dinov3_vits16plus": _dinov3(384, 12, 6, 1536, gated=True),
    "dinov3_vitb16": _dinov3(768, 12, 12, 3072),
    "dinov3_vitl16": _dinov3(1024, 24, 16, 4096),
    "dinov3_vitl16plus": _dinov3(1024, 24, 16, 4096, gated=True),
    "dinov3_vith16plus": _dinov3(1280, 32, 20, 5120, gated=True),
    "dinov3_vit7b16": _dinov3(4096, 40, 32, 8192, gated=True, query_bias=False, value_bias=False),
}
"""Name -> fields of the transformers configuration."""


def build_config(arch: str | Mapping[str, Any], in_channels: int = 1) -> PreTrainedConfig:
    """Builds the transformers configuration of an architecture.

    Args:
        arch: a name of :data:`ARCHITECTURES`, or a mapping of transformers configuration fields with ``model_type``
            one of :data:`FAMILIES`.
        in_channels: number of input channels.

    Returns:
        The configuration, with ``num_channels`` set to ``in_channels``.

    Raises:
        ConfigurationError: for an unknown name or model type, or a field that the model type does not have, or a value
            that it cannot have.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    fields = architecture_fields(arch)
    model_type = fields.pop("model_type")
    fields |= {"num_channels": in_channels, "attn_implementation": "sdpa"}
    if unknown := sorted(fields.keys() - known_fields(model_type) - {"attn_implementation"}):
        raise ConfigurationError(f"encoder: model type {model_type!r} has no configuration field {', '.join(unknown)}")
    try:
        return AutoConfig.for_model(model_type, **fields)
    except StrictDataclassError as error:
        raise ConfigurationError(f"encoder: {error}") from error


def known_fields(model_type: str) -> set[str]:
    """Names of the configuration fields that a model type has."""
    from transformers import AutoConfig

    return set(AutoConfig.for_model(model_type).to_dict())


def architecture_differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Compares what two architectures compute; image size, dropout and initialisation do not count.

    Args:
        found: configuration fields, with ``model_type`` among them; those left out have the model type's defaults.
        wanted: likewise.

    Returns:
        A line per field that differs, with both values.
    """
    one, other = build_config(found).to_dict(), build_config(wanted).to_dict()
    fields = _FUNCTIONAL if one["model_type"] == other["model_type"] else ("model_type",)
    return [
        f"{name}: found {one[name]!r}, wanted {other[name]!r}"
        for name in fields
        if name in one
        and one[name] != other[name]
        and not (name == "layer_norm_eps" and abs(one[name] - other[name]) <= _EPS_TOLERANCE)
    ]


def architecture_name(fields: Mapping[str, Any]) -> str | None:
    """The name in :data:`ARCHITECTURES` of what computes the same, or ``None``."""
    return next((name for name, known in ARCHITECTURES.items() if not architecture_differences(known, fields)), None)


def architecture_fields(arch: str | Mapping[str, Any]) -> dict[str, Any]:
    """Configuration fields of an architecture, with ``model_type`` among them.

    Args:
        arch: a name of :data:`ARCHITECTURES`, or a mapping of transformers configuration fields.

    Returns:
        A new dict of fields.

    Raises:
        ConfigurationError: for an unknown name or model type.
    """
    if isinstance(arch, str) and arch not in ARCHITECTURES:
        close = difflib.get_close_matches(arch, ARCHITECTURES, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigurationError(f"encoder: unknown architecture {arch!r}; {hint}known: {', '.join(ARCHITECTURES)}")
    fields = dict(ARCHITECTURES[arch] if isinstance(arch, str) else arch)
    if fields.get("model_type") not in FAMILIES:
        raise ConfigurationError(
            f"encoder: model_type {fields.get('model_type')!r} is not supported; a mapping of configuration fields "
            f"needs 'model_type', one of {', '.join(FAMILIES)}"
        )
    return fields
