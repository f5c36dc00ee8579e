# SPDX-License-Identifier: Apache-2.0
"""Merging of low-rank adapters into the layers that they adapt."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["has_adapters", "merge_adapters"]


def has_adapters(module: nn.Module) -> bool:
    """Whether LoRA adapters are inside a module."""
    return any(".lora_A." in name for name, _ in module.named_parameters())


def merge_adapters(backbone: nn.Module) -> nn.Module:
    """Replaces each adapted layer by one plain linear layer with the same output.

    Args:
        backbone: a transformers model, changed in place; one without adapters is returned as it is.

    Returns:
        The backbone.
    """
    if not has_adapters(backbone):
        return backbone
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(backbone.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            setattr(backbone.get_submodule(parent), child, module.get_base_layer())
    plain: Any = backbone
    plain._hf_peft_config_loaded = False  # transformers then saves the model, not its adapters
    return backbone
