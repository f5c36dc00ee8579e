# SPDX-License-Identifier: Apache-2.0
"""Where an encoder's weights come from: a Hugging Face folder or hub id, an original checkpoint, or one of ours."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import torch

from monai_dino.errors import WeightsError
from monai_dino.networks.encoders.architectures import ARCHITECTURES
from monai_dino.networks.encoders.folder import read_folder
from monai_dino.networks.encoders.hub import download
from monai_dino.networks.encoders.original import convert_original, is_original, original_family
from monai_dino.networks.encoders.source import EncoderWeights
from monai_dino.networks.encoders.state_files import backbone_state, read_state_file

__all__ = ["read_weights"]

_LOGGER = logging.getLogger(__name__)
_HUB_ID = re.compile(r"^\w[\w.-]*/\w[\w.-]*$")
_FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
# What transformers itself would load from a folder with a config.json.
_FOLDER_FILE = re.compile(r"^(model(-\d+-of-\d+)?\.safetensors|pytorch_model(-\d+-of-\d+)?\.bin)$")


def read_weights(source: str | Path) -> EncoderWeights:
    """Reads the weights of an encoder.

    Args:
        source: a local Hugging Face folder, a hub id such as ``facebook/dinov2-small``, or a ``.safetensors`` or
            ``.pth`` file: an original checkpoint of facebookresearch dino, dinov2 or dinov3, or a state dict of ours.

    Returns:
        The weights and what is known of their architecture.

    Raises:
        WeightsError: when the source is missing, unreachable, unreadable or not a backbone that can be hosted.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return read_folder(path)
    if path.is_file():
        in_folder = _FOLDER_FILE.match(path.name) and path.with_name("config.json").is_file()
        return read_folder(path.parent) if in_folder else _read_file(path)
    if _HUB_ID.match(str(source)) and path.suffix not in _FILE_SUFFIXES:
        return read_folder(download(str(source)))
    raise WeightsError(
        f"weights: there is no such file or folder: {str(source)!r} is neither a folder nor a file here, nor a Hugging "
        f"Face hub id such as facebook/dinov2-small"
    )


def _read_file(path: Path) -> EncoderWeights:
    prefix, state, left_out = backbone_state(read_state_file(path), str(path))
    if is_original(state):
        family, periods = original_family(state), state.get("rope_embed.periods")
        state, heads = convert_original(state, str(path))
        config = _matching_architecture(family, state)
        return EncoderWeights(str(path), family, state, config, left_out=left_out + heads, rope_periods=periods)
    family = _family_of(state)
    found = EncoderWeights(str(path), family, state, _matching_architecture(family, state), left_out=left_out)
    if prefix.endswith("backbone."):
        found.image_mean, found.image_std = 0.0, 1.0
        _LOGGER.info(
            "%s: taken as written by this package, with the input normalisation in its patch embedding already, "
            "because its names start with %s; if it is not, give image_mean and image_std",
            path,
            prefix,
        )
    return found


def _family_of(state: dict[str, torch.Tensor]) -> str:
    if "embeddings.position_embeddings" not in state:
        return "dinov3_vit"
    if "embeddings.register_tokens" in state:
        return "dinov2_with_registers"
    return "vit" if "layers.0.layernorm_before.weight" in state else "dinov2"


def _matching_architecture(family: str, state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """The entry of the table that the shapes imply, or nothing when none or several fit."""
    kernel = next((v for k, v in state.items() if ".patch_embeddings." in k and k.endswith(".weight")), None)
    if kernel is None:
        return {}
    found = {
        "model_type": family,
        "hidden_size": kernel.shape[0],
        "patch_size": kernel.shape[-1],
        "num_hidden_layers": len({m[1] for k in state if (m := re.search(r"layers?\.(\d+)\.", k))}),
        "gated": any(".gate_proj." in k for k in state),
    }
    matches = [
        a
        for a in ARCHITECTURES.values()
        if {**a, "gated": a.get("use_swiglu_ffn", a.get("use_gated_mlp", False))}.items() >= found.items()
    ]
    return dict(matches[0]) if len(matches) == 1 else {}
