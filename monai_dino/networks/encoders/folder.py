# SPDX-License-Identifier: Apache-2.0
"""Reading of a Hugging Face model folder, strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from monai_dino.errors import WeightsError
from monai_dino.files import read_json_object
from monai_dino.networks.encoders.architectures import FAMILIES, known_fields
from monai_dino.networks.encoders.channels import IMAGENET_MEAN, IMAGENET_STD, PerChannel
from monai_dino.networks.encoders.quiet import quiet_transformers
from monai_dino.networks.encoders.source import INPUT_RECORD, EncoderWeights

__all__ = ["read_folder"]

_OUTSIDE_BACKBONE = ("pooler.", "classifier.", "decoder.", "head.")


def read_folder(folder: Path) -> EncoderWeights:
    """Reads a folder with ``config.json`` and weights that transformers loads.

    Args:
        folder: the folder.

    Returns:
        The weights and the architecture that ``config.json`` states, less the fields that its model type does not have.

    Raises:
        WeightsError: when a file is missing or damaged, the model type cannot be hosted, or the weights do not fit
            ``config.json``; it names every name that does not.
    """
    config = _read_json(folder / "config.json")
    family = config.get("model_type")
    if family not in FAMILIES:
        raise WeightsError(f"{folder}: config.json has model_type {family!r}, expected one of {', '.join(FAMILIES)}")
    model, info = _load_model(folder, family)
    left_out = sorted(k for k in info["unexpected_keys"] if k.startswith(_OUTSIDE_BACKBONE))
    problems = [f"missing {k}" for k in sorted(info["missing_keys"]) if not k.endswith("mask_token")]
    problems += [f"unexpected {k}" for k in sorted(info["unexpected_keys"]) if k not in left_out]
    problems += [
        f"{k}: found {tuple(found)}, wanted {tuple(wanted)}" for k, found, wanted in sorted(info["mismatched_keys"])
    ]
    if problems:
        raise WeightsError(f"{folder}: its weights do not fit its config.json:\n  " + "\n  ".join(problems))
    mean, std = _input_normalisation(folder, config)
    known = known_fields(family)
    return EncoderWeights(
        source=str(folder),
        family=family,
        state=dict(model.state_dict()),
        config={k: v for k, v in model.config.to_dict().items() if k in known},
        config_stated=True,
        image_mean=mean,
        image_std=std,
        left_out=left_out,
    )


def _load_model(folder: Path, family: str) -> tuple[Any, dict[str, Any]]:
    import transformers

    classes: dict[str, Any] = {
        "vit": transformers.ViTModel,
        "dinov2": transformers.Dinov2Model,
        "dinov2_with_registers": transformers.Dinov2WithRegistersModel,
        "dinov3_vit": transformers.DINOv3ViTModel,
    }
    extra = {"add_pooling_layer": False, "use_mask_token": True} if family == "vit" else {}
    try:
        with quiet_transformers():
            model, info = classes[family].from_pretrained(
                folder,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are listed by the caller, all of them
                dtype=torch.float32,
                **extra,
            )
    except Exception as error:  # transformers and safetensors raise many kinds here
        raise WeightsError(f"{folder}: its weights cannot be loaded ({error})") from error
    return model, info


def _input_normalisation(folder: Path, config: dict[str, Any]) -> tuple[PerChannel, PerChannel]:
    if record := config.get(INPUT_RECORD):
        return record["mean"], record["std"]
    path = folder / "preprocessor_config.json"
    stated = _read_json(path) if path.is_file() else {}
    if stated.get("do_normalize") is False:
        return 0.0, 1.0
    mean, std = stated.get("image_mean"), stated.get("image_std")
    return IMAGENET_MEAN if mean is None else mean, IMAGENET_STD if std is None else std


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise WeightsError(f"{path.parent}: not a Hugging Face model folder, it has no {path.name}")
    return read_json_object(path, WeightsError, "download or export it again")
