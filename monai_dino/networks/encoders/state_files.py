# SPDX-License-Identifier: Apache-2.0
"""Reading a state dict from a file without running any code that the file could hold."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from monai_dino.errors import WeightsError

__all__ = ["backbone_state", "read_state_file"]

_NESTED = ("teacher", "student", "state_dict", "model", "network")  # the teacher is what DINO, DINOv2 and v3 evaluate
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
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path}: not a plain weights file, and unpickling it could run code, so it is refused ({reason}). Load it "
            f"where it was made and save the state dict alone, best as .safetensors"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read as weights, it may be truncated or damaged ({error})") from None
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, expected a state dict of named tensors")
    return dict(content)


def backbone_state(content: Mapping[str, Any], source: str) -> tuple[str, dict[str, torch.Tensor], list[str]]:
    """Takes the backbone's tensors out of a checkpoint.

    A training checkpoint's teacher is preferred to its student; whatever prefix wrappers gave the backbone
    (``module.backbone.``, ``encoder.backbone.``, ...) is removed.

    Args:
        content: what :func:`read_state_file` returned.
        source: name of the file, for errors.

    Returns:
        The prefix, the state dict of the backbone without it, and the names of the tensors beside the backbone.

    Raises:
        WeightsError: when no backbone is in it, or when LoRA adapters are mixed with it.
    """
    while (inner := next((content[k] for k in _NESTED if isinstance(content.get(k), Mapping)), None)) is not None:
        content = inner
    state = {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}
    prefixes = sorted(k.removesuffix(a) for k in state for a in _ANCHORS if k == a or k.endswith("." + a))
    if not prefixes:
        raise WeightsError(
            f"{source}: not a DINO backbone: no name ends in {' or '.join(_ANCHORS)}; "
            f"it has {', '.join(list(content)[:6]) or 'nothing'}"
        )
    if any(".lora_A." in key for key in state):
        raise WeightsError(
            f"{source}: holds LoRA adapters beside their base; export a merged encoder with "
            f"DinoEncoder.save_pretrained, or load the base and then the adapters with load_adapters"
        )
    prefix = next((p for p in prefixes if p.startswith("teacher")), prefixes[0])
    backbone = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return prefix, backbone, [key for key in state if not key.startswith(prefix)]
