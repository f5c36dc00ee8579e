# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters on disk: the adapters alone, in peft's format, strictly loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import nn

from monai_dino.errors import ConfigurationError, WeightsError
from monai_dino.files import read_json_object, write_json
from monai_dino.networks.adaptation.lora import adapted_layers
from monai_dino.networks.encoders.architectures import architecture_differences
from monai_dino.networks.encoders.encoder import DinoEncoder
from monai_dino.networks.encoders.merging import has_adapters
from monai_dino.networks.encoders.quiet import quiet_transformers
from monai_dino.networks.misfits import misfits

__all__ = ["load_adapters", "save_adapters"]

_CONFIG, _TENSORS, _ARCHITECTURE = "adapter_config.json", "adapter_model.safetensors", "architecture.json"
_BASE = "base_weights.json"
_PREFIX = "base_model.model."  # peft's, before every name
_REMEDY = "load them onto a plain encoder of the architecture and the weights that they were trained on"


def save_adapters(encoder: DinoEncoder, folder: str | Path) -> None:
    """Writes the adapters alone, in peft's own format, as safetensors.

    Beside them lie the encoder's architecture and a digest of the weights that they belong to.

    Args:
        encoder: an encoder adapted with LoRA.
        folder: where to write; made if it is not there.

    Raises:
        ConfigurationError: when the encoder has no adapters, or a whole encoder is in the folder.
    """
    if not has_adapters(encoder.backbone):
        raise ConfigurationError("adaptation: the encoder has no LoRA adapters to save")
    if (Path(folder) / "config.json").exists():
        raise ConfigurationError(f"{folder}: holds a whole encoder (config.json); name another folder for its adapters")
    backbone: Any = encoder.backbone
    with quiet_transformers():
        backbone.save_pretrained(folder)
    write_json(Path(folder) / _ARCHITECTURE, encoder.architecture)
    write_json(Path(folder) / _BASE, {"last_block": _base_digest(encoder)})


def load_adapters(encoder: DinoEncoder, folder: str | Path) -> None:
    """Adds the adapters that :func:`save_adapters` wrote, to be trained on or used.

    Args:
        encoder: an encoder without adapters, of the architecture and the weights they were trained on.
        folder: where they were written.

    Raises:
        ConfigurationError: when the encoder has adapters already.
        WeightsError: when the folder holds no adapters or they do not fit the encoder; it names every tensor or field
            that does not. When the encoder's weights are others than those they were trained on.
    """
    folder = Path(folder)
    if has_adapters(encoder):
        raise ConfigurationError("adaptation: the encoder has LoRA adapters already; load them onto a plain one")
    config = _read_json(folder / _CONFIG)
    if (folder / _ARCHITECTURE).is_file():
        _check_architecture(encoder, folder)
    _check_tensors(encoder, folder, config)
    if (folder / _BASE).is_file() and _read_json(folder / _BASE).get("last_block") != _base_digest(encoder):
        raise WeightsError(f"{folder}: its adapters were trained on other weights than the encoder has; {_REMEDY}")
    adaptation = _adaptation(encoder, config)
    backbone: Any = encoder.backbone
    try:
        with quiet_transformers():
            backbone.load_adapter(str(folder), is_trainable=True)
    except Exception as error:  # peft and transformers raise many kinds here
        raise WeightsError(f"{folder}: its adapters do not fit the encoder ({error}); {_REMEDY}") from error
    encoder.frozen = False
    encoder.adaptation = adaptation
    encoder.train(encoder.training)  # the new adapters' dropout included


def _adaptation(encoder: DinoEncoder, config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of ``adapt`` that make such adapters; empty for adapters that it does not make."""
    if any(config.get(option) for option in ("use_rslora", "use_dora", "alpha_pattern", "rank_pattern")):
        return {}
    names = [name.removeprefix(_PREFIX).rsplit(".lora_", 1)[0] for name in _wanted_shapes(encoder, Path(), config)]
    adapted = sorted(set(names))
    targets = sorted({name.rsplit(".", 1)[-1] for name in adapted})
    numbers = [int(name.removeprefix(f"{encoder.layout.blocks}.").split(".")[0]) for name in adapted]
    if not adapted or sorted(adapted_layers(encoder, targets, min(numbers))) != adapted:
        return {}
    options = {"rank": config["r"], "alpha": config.get("lora_alpha"), "dropout": config.get("lora_dropout") or 0.0}
    return {"mode": "lora", "freeze_blocks": min(numbers)} | options | {"targets": targets}


def _base_digest(encoder: DinoEncoder) -> str:
    """Of the last block without its adapters: unlike the first layer it does not depend on the input's channels."""
    blocks: Any = encoder.backbone.get_submodule(encoder.layout.blocks)
    block = blocks[-1].state_dict()
    state = {name.replace(".base_layer.", "."): value for name, value in block.items() if ".lora_" not in name}
    found = hashlib.sha256()
    for name in sorted(state):
        found.update(name.encode() + state[name].detach().cpu().float().contiguous().numpy().tobytes())
    return found.hexdigest()


def _check_architecture(encoder: DinoEncoder, folder: Path) -> None:
    try:
        problems = architecture_differences(_read_json(folder / _ARCHITECTURE), encoder.architecture)
    except ConfigurationError as error:
        raise WeightsError(f"{folder / _ARCHITECTURE}: not an architecture ({error})") from None
    if problems:
        listed = "\n  ".join(problems)
        raise WeightsError(f"{folder}: its adapters do not fit the encoder's architecture; {_REMEDY}:\n  {listed}")


def _check_tensors(encoder: DinoEncoder, folder: Path, config: dict[str, Any]) -> None:
    found, wanted = _read_shapes(folder / _TENSORS), _wanted_shapes(encoder, folder, config)
    if problems := misfits(found, wanted):
        listed = "\n  ".join(problems)
        raise WeightsError(
            f"{folder}: its adapters do not fit the encoder; {_REMEDY}; {len(problems)} names do not fit:\n  {listed}"
        )


def _wanted_shapes(encoder: DinoEncoder, folder: Path, config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors that the adapters' configuration implies for this encoder."""
    kind, rank, targets = (config.get(key) for key in ("peft_type", "r", "target_modules"))
    if kind != "LORA" or not isinstance(rank, int) or not isinstance(targets, list):
        raise WeightsError(
            f"{folder / _CONFIG}: found peft_type {kind!r}, r {rank!r} and target_modules {targets!r}, wanted 'LORA', "
            f"a rank and a list of layers; name a folder that save_adapters wrote"
        )
    shapes: dict[str, tuple[int, ...]] = {}
    for name, layer in encoder.backbone.named_modules():
        # peft shortens a long list of targets to the ends of their names.
        if isinstance(layer, nn.Linear) and any(f".{name}".endswith(f".{target}") for target in targets):
            shapes[f"{_PREFIX}{name}.lora_A.weight"] = (rank, layer.in_features)
            shapes[f"{_PREFIX}{name}.lora_B.weight"] = (layer.out_features, rank)
    return shapes


def _read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    if not path.is_file():
        raise WeightsError(f"{path.parent}: no adapters here, there is no {path.name}; name a folder of save_adapters")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # damaged bytes make the reader stumble anywhere
        raise WeightsError(
            f"{path}: cannot be read as adapters, it may be truncated or damaged ({error}); copy it again"
        ) from None


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise WeightsError(f"{path.parent}: no adapters here, there is no {path.name}; name a folder of save_adapters")
    return read_json_object(path, WeightsError, "copy it again")
