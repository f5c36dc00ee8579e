# SPDX-License-Identifier: Apache-2.0
"""Where an encoder's weights come from: a Hugging Face folder or hub id, an original checkpoint, or one of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from monai_dino.errors import WeightsError
from monai_dino.networks.encoders.architectures import ARCHITECTURES, FAMILIES
from monai_dino.networks.encoders.channels import IMAGENET_MEAN, IMAGENET_STD
from monai_dino.networks.encoders.original import convert_original, is_original, original_family
from monai_dino.networks.encoders.state_files import backbone_state, read_state_file

__all__ = ["INPUT_RECORD", "EncoderWeights", "quiet_transformers", "read_weights"]

INPUT_RECORD = "monai_dino_input"
"""Field of an exported ``config.json`` that states the normalisation its weights still expect."""

_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")
_OUTSIDE_BACKBONE = ("pooler.", "classifier.", "decoder.", "head.")


@dataclass
class EncoderWeights:
    """Tensors of a backbone under the names of transformers 5, and what their source states about them.

    Attributes:
        source: where they come from, for messages.
        family: transformers model type.
        state: the tensors.
        config: configuration fields that the source states or that the tensors imply; empty when unknown.
        image_mean: mean that the input is to be normalised with.
        image_std: standard deviation, likewise.
        left_out: names in the source that are not part of a backbone.
    """

    source: str
    family: str
    state: dict[str, torch.Tensor]
    config: dict[str, Any]
    image_mean: Sequence[float] = IMAGENET_MEAN
    image_std: Sequence[float] = IMAGENET_STD
    left_out: list[str] = field(default_factory=list)


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
        return _read_folder(path)
    if path.is_file():
        in_folder = path.name == "model.safetensors" and path.with_name("config.json").is_file()
        return _read_folder(path.parent) if in_folder else _read_file(path)
    if _HUB_ID.match(str(source)):
        return _read_folder(_download(str(source)))
    raise WeightsError(
        f"weights: {str(source)!r} is neither a folder nor a file here, nor a Hugging Face hub id such as "
        f"facebook/dinov2-small"
    )


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=["*.json", "*.safetensors"]))
    except (OSError, ValueError, RuntimeError) as error:  # the hub's own errors are OSErrors
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"weights: there is no folder {hub_id!r} here, and the Hugging Face hub did not give a model of that name "
            f"({reason}); download it where there is a connection and name its folder"
        ) from None


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keeps transformers from drawing progress bars and load reports; strictness is checked here."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _read_folder(folder: Path) -> EncoderWeights:
    import transformers

    config = _read_json(folder / "config.json")
    family = config.get("model_type")
    classes: dict[Any, Any] = {
        "vit": transformers.ViTModel,
        "dinov2": transformers.Dinov2Model,
        "dinov2_with_registers": transformers.Dinov2WithRegistersModel,
        "dinov3_vit": transformers.DINOv3ViTModel,
    }
    if family not in FAMILIES:
        raise WeightsError(f"{folder}: config.json has model_type {family!r}, expected one of {', '.join(FAMILIES)}")
    extra = {"add_pooling_layer": False, "use_mask_token": True} if family == "vit" else {}
    try:
        with quiet_transformers():
            model, info = classes[family].from_pretrained(
                folder, local_files_only=True, output_loading_info=True, dtype=torch.float32, **extra
            )
    except Exception as error:  # transformers and safetensors raise many kinds here
        raise WeightsError(f"{folder}: its weights cannot be loaded ({error})") from error
    left_out = sorted(k for k in info["unexpected_keys"] if k.startswith(_OUTSIDE_BACKBONE))
    problems = [f"missing {k}" for k in sorted(info["missing_keys"]) if not k.endswith("mask_token")]
    problems += [f"unexpected {k}" for k in sorted(info["unexpected_keys"]) if k not in left_out]
    if problems:
        raise WeightsError(f"{folder}: its weights do not fit its config.json:\n  " + "\n  ".join(problems))
    mean, std = _input_normalisation(folder, config)
    fields = {k: v for k, v in model.config.to_dict().items() if k != INPUT_RECORD}
    return EncoderWeights(str(folder), family, dict(model.state_dict()), fields, mean, std, left_out)


def _input_normalisation(folder: Path, config: dict[str, Any]) -> tuple[Sequence[float], Sequence[float]]:
    if record := config.get(INPUT_RECORD):
        return record["mean"], record["std"]
    if (path := folder / "preprocessor_config.json").is_file():
        preprocessor = _read_json(path)
        return preprocessor.get("image_mean", IMAGENET_MEAN), preprocessor.get("image_std", IMAGENET_STD)
    return IMAGENET_MEAN, IMAGENET_STD


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path.parent}: not a Hugging Face model folder, it has no {path.name}") from None
    except ValueError as error:
        raise WeightsError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def _read_file(path: Path) -> EncoderWeights:
    prefix, state, left_out = backbone_state(read_state_file(path), str(path))
    if is_original(state):
        family = original_family(state)
        state, heads = convert_original(state)
        return EncoderWeights(
            str(path), family, state, _matching_architecture(family, state), left_out=left_out + heads
        )
    family = _family_of(state)
    found = EncoderWeights(str(path), family, state, _matching_architecture(family, state), left_out=left_out)
    if prefix.endswith("backbone."):  # ours, which has the normalisation in its patch embedding already
        found.image_mean, found.image_std = (0.0,), (1.0,)
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
