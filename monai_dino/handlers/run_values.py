# SPDX-License-Identifier: Apache-2.0
"""What a self-supervised training was begun with, and which of it a resume may change."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_dino.errors import CheckpointError, ConfigurationError
from monai_dino.inferers.autocast import resolved_precision
from monai_dino.networks.encoders.merging import has_adapters
from monai_dino.ssl import Schedules

__all__ = ["BEGIN_ANEW", "check_length", "refuse_changes", "run_values", "warn_of_changes", "warn_of_schedules"]

_LOGGER = logging.getLogger(__name__)

BEGIN_ANEW = "begin anew in another bundle_root (or with another ckpt_dir, output_dir and model_dir)"

_SHOWN = 5

# What no resume may change -> the setting that makes it.
_FIXED = {
    "architecture": "encoder",
    "in_channels": "in_channels",
    "adaptation": "adaptation",
    "teacher": "teacher_weights",
}
# Likewise of the heads.
_FIXED_SIZES = ("prototypes", "head_hidden_dim", "head_bottleneck_dim", "head_layers")
# Likewise of the mappings that say where the images come from and how they are prepared.
_FIXED_WITHIN = {
    "settings": ("modality", "window", "plane", "fill", "in_channels", "image_size", "neighbours"),
    "data": ("fold", "weights"),
}


def run_values(trainer: Any) -> dict[str, Any]:
    """What a run must keep to go on as if it had not been stopped.

    Args:
        trainer: a :class:`monai_dino.engines.DinoTrainer`.

    Returns:
        Name -> value that JSON can hold.

    Raises:
        ConfigurationError: for adapters of which no encoder could be made again.
    """
    network = trainer.network
    encoder = network.student.encoder
    if has_adapters(encoder) and encoder.adaptation.get("mode") != "lora":
        raise ConfigurationError(
            "adaptation: the encoder's adapters are none that monai_dino.networks.adapt makes, so that no encoder "
            "could be made of a checkpoint; merge them with save_pretrained and adapt what that wrote"
        )
    return {
        **network.settings.as_dict(),
        "architecture": encoder.architecture,
        "in_channels": encoder.in_channels,
        "adaptation": encoder.adaptation,
        "average": next(name for name, part in network.named_children() if part is network.average),
        "seed": trainer.seed,
        "batch_size": trainer.sampler.batch_size,
        "samples": trainer.sampler.samples,
        "steps": trainer.schedules.total,
        "accumulation_steps": trainer.accumulation_steps,
        "precision": resolved_precision(trainer.precision, trainer.state.device),
    }


def refuse_changes(saved: Mapping[str, Any], present: Mapping[str, Any], folder: Path) -> None:
    """Refuses to go on as another network, also where its tensors have the same shapes, or on other images.

    Args:
        saved: values of the checkpoint; what it does not have is not compared.
        present: values of the run that is to go on.
        folder: of the checkpoint.

    Raises:
        CheckpointError: for the first value that differs and may not.
    """
    present = _as_saved(present)
    for group, keys in _FIXED_WITHIN.items():
        before, now = saved.get(group) or {}, present.get(group) or {}
        for key in keys:
            if key in before and key in now and before[key] != now[key]:
                raise _refusal(folder, key, before[key], now[key])
    for key in _FIXED_SIZES:
        unused = key == "head_hidden_dim" and saved.get("head_layers") == present.get("head_layers") == 1
        if key in saved and saved[key] != present.get(key) and not unused:
            raise _refusal(folder, key, saved[key], present.get(key))
    for key, setting in _FIXED.items():
        if key == "adaptation" and not saved.get(key):
            continue  # adapters that were loaded were not always written down; their tensors have to fit anyway
        if key in saved and saved[key] != present.get(key):
            raise CheckpointError(
                f"{folder}: was made with {key} {saved[key]}, but {setting} now makes it {present.get(key)}; set it "
                f"back to go on, or {BEGIN_ANEW}"
            )


def _refusal(folder: Path, key: str, before: Any, now: Any) -> CheckpointError:
    return CheckpointError(
        f"{folder}: was made with {key} {before!r}, which is now {now!r}; set it back to go on, or {BEGIN_ANEW}"
    )


def check_length(trainer: Any, step: int, folder: Path) -> None:
    """Refuses to go on with a run that would have ended before.

    Args:
        trainer: of the run that is to go on.
        step: step of the checkpoint.
        folder: of the checkpoint.

    Raises:
        ConfigurationError: when the run has fewer steps.
    """
    if step > trainer.schedules.total:
        raise ConfigurationError(
            f"{folder}: was saved after step {step}, but epochs={trainer.state.max_epochs} of "
            f"{trainer.sampler.samples} samples with batch_size={trainer.sampler.batch_size} are only "
            f"{trainer.schedules.total} steps; set them back to go on, or {BEGIN_ANEW}"
        )


def warn_of_changes(saved: Mapping[str, Any], present: Mapping[str, Any], folder: Path) -> None:
    """Logs which values a resume changes.

    Args:
        saved: values of the checkpoint; what it does not have is not compared.
        present: values of the run that is to go on.
        folder: of the checkpoint.
    """
    before, now = _flat(saved), _flat(_as_saved(present))
    if before.get("precision") == "auto":  # older checkpoints have the word, which does not tell what it came to
        del before["precision"]
    views = [flat.pop("views", None) or {} for flat in (before, now)]
    changed = [f"{key} was {before[key]}, is {now[key]}" for key in now if key in before and before[key] != now[key]]
    changed += _changed_views(*views) if all(views) else []
    if changed:
        _LOGGER.warning("%s: goes on with other settings than it began with: %s", folder, "; ".join(changed))


def warn_of_schedules(trainer: Any, saved: Mapping[str, Any], step: int, folder: Path) -> None:
    """Logs what another length makes of the rates, all of which follow shares of the run.

    Args:
        trainer: of the run that is to go on.
        saved: values of the checkpoint.
        step: step of the checkpoint.
        folder: of the checkpoint.
    """
    schedules = trainer.schedules
    if not step or step >= schedules.total or saved.get("steps", schedules.total) == schedules.total:
        return
    before, after = Schedules(schedules.settings, saved["steps"])(step - 1), schedules(step)
    frozen = ", and the encoder is frozen again while the heads warm up" if after.encoder_frozen else ""
    _LOGGER.warning(
        "%s: the run had %d steps and has %d, and its schedules with it: the learning rate goes from %.3g to %.3g, the "
        "momentum of the teacher from %.5g to %.5g%s",
        *(folder, saved["steps"], schedules.total, before.learning_rate, after.learning_rate),
        *(before.momentum, after.momentum, frozen),
    )


def _changed_views(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Values of the transforms that make views; with another recipe or modality many of them change at once."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    found = [f"of the views {name} was {before.get(name)}, is {now.get(name)}" for name in names[:_SHOWN]]
    return found + ([f"and {len(names) - _SHOWN} more of the views"] if len(names) > _SHOWN else [])


def _as_saved(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as a checkpoint brings them back: tuples become lists."""
    found: dict[str, Any] = json.loads(json.dumps(values))
    return found


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with those of the mappings beside them."""
    within = {key: value for group in _FIXED_WITHIN for key, value in (values.get(group) or {}).items()}
    return within | {key: value for key, value in values.items() if key not in _FIXED_WITHIN}
