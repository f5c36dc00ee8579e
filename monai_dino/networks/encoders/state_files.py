# SPDX-License-Identifier: Apache-2.0
"""Reading a state dict from a file without running any code that the file could hold."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from monai_dino.errors import WeightsError

__all__ = ["backbone_state", "read_state_file"]

# The averaged weights are what DINO, DINOv2 and v3 evaluate; a distilled DINOv3 keeps its larger teacher beside them.
_NESTED = ("model_ema", "ema", "teacher", "student", "state_dict", "model", "network")
_WRAPPERS = {"module", "_orig_mod"}  # of DistributedDataParallel and torch.compile
# What torch's weights-only unpickler says of a global or class that it does not trust.
_REFUSED = re.compile(
    r"GLOBAL \S+|Trying to call reduce for .*|Can only (?:create new object|build) .*|must be imported to load \w+"
)
_ANCHORS = ("patch_embed.proj.weight", "embeddings.cls_token")  # in every original, in every transformers backbone


def read_state_file(path: Path) -> dict[str, Any]:
    """Reads a ``.safetensors`` file, or a ``.pth``/``.pt``/``.bin`` file with the weights-only unpickler.

    Args:
        path: the file.

    Returns:
        What the file holds: tensors by name, possibly nested one level deep.

    Raises:
        WeightsError: when the file is truncated, damaged, of another kind, or holds objects that only a full unpickling
            could restore.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        # Full checkpoints of facebookresearch/dino keep their command line beside the weights.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make the readers stumble anywhere
        if refused := _REFUSED.search(str(error)):
            raise WeightsError(
                f"{path}: not a plain weights file, and unpickling it could run code, so it is refused "
                f"({refused[0]}). Load it where it was made and save the state dict alone, best as .safetensors"
            ) from None
        # The unpickler's own message advises to switch its safety off.
        reason = "it is not what torch.save writes" if isinstance(error, pickle.UnpicklingError) else error
        raise WeightsError(
            f"{path}: cannot be read as weights, it may be truncated or damaged ({reason}); copy or download it again"
        ) from None
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, expected a state dict of named tensors")
    return dict(content)


def backbone_state(content: Mapping[str, Any], source: str) -> tuple[str, dict[str, torch.Tensor], list[str]]:
    """Takes the backbone's tensors out of a checkpoint.

    Averaged weights (``model_ema``, ``ema``, ``teacher``) are preferred to the student's; whatever prefix wrappers gave
    the backbone (``module.backbone.``, ``encoder.backbone.``, ...) is removed.

    Args:
        content: what :func:`read_state_file` returned.
        source: name of the file, for errors.

    Returns:
        The prefix, the state dict of the backbone without it, and the names of the tensors beside the backbone.

    Raises:
        WeightsError: when no backbone is in it, or several, or when LoRA adapters are mixed with it.
    """
    while (inner := next((content[k] for k in _NESTED if isinstance(content.get(k), Mapping)), None)) is not None:
        content = inner
    state = {
        ".".join(part for part in str(key).split(".") if part not in _WRAPPERS): value
        for key, value in content.items()
        if isinstance(value, torch.Tensor)
    }
    prefixes = sorted({k.removesuffix(a) for k in state for a in _ANCHORS if k == a or k.endswith("." + a)})
    if not prefixes:
        raise WeightsError(
            f"{source}: not a DINO backbone: no name ends in {' or '.join(_ANCHORS)}; "
            f"it has {', '.join(str(k) for k in list(content)[:6]) or 'nothing'}"
        )
    if any(".lora_A." in key for key in state):
        raise WeightsError(
            f"{source}: holds LoRA adapters beside their base; export a merged encoder with "
            f"DinoEncoder.save_pretrained, or load the base and then the adapters with load_adapters"
        )
    prefix = _preferred(prefixes, source)
    backbone = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return prefix, backbone, [key for key in state if not key.startswith(prefix)]


def _preferred(prefixes: list[str], source: str) -> str:
    """The averaged weights' prefix, else the teacher's, else the only one."""
    parts = {prefix: prefix.split(".") for prefix in prefixes}
    averaged = [p for p in prefixes if {"model_ema", "ema"} & set(parts[p])]
    teachers = [p for p in prefixes if any(part.startswith("teacher") for part in parts[p])]
    candidates = averaged or teachers or prefixes
    if len(candidates) > 1:
        raise WeightsError(
            f"{source}: holds several backbones, expected one; their names start with "
            f"{', '.join(repr(p) for p in candidates)}; save the state dict of the wanted one alone"
        )
    return candidates[0]
