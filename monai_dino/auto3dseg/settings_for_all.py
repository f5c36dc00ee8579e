# SPDX-License-Identifier: Apache-2.0
"""Settings of the bundle that are given for all algorithms of a comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from monai_dino.auto3dseg.contestants import Contestant, Task
from monai_dino.commands.bundles import bundles_path
from monai_dino.errors import ConfigurationError

__all__ = ["check_settings", "kept_settings"]


def check_settings(settings: Mapping[str, Any], task: Task) -> None:
    """Checks that settings are those of the task's bundle.

    Args:
        settings: the settings.
        task: the task.

    Raises:
        ConfigurationError: for a setting that the bundle does not have, or that a comparison decides itself.
    """
    config = json.loads((bundles_path() / f"dino_{task}" / "configs" / "train.json").read_text(encoding="utf-8"))
    fixed = {"bundle_root", "dataset_dir", "datalist", "fold", "epochs", "max_minutes", "patience", "val_interval"}
    fixed |= {
        "ckpt_dir",
        "output_dir",
        "store_dir",
        "weights",
        "class_names",
        "out_channels",
        "seed",
        "num_workers",
        "samples_per_epoch",
    }
    known = sorted(k for k, v in config.items() if not isinstance(v, (dict, list)) and k not in fixed)
    if unknown := sorted(set(settings) - set(known)):
        raise ConfigurationError(f"settings: unknown {', '.join(unknown)}; expected some of {', '.join(known)}")


def kept_settings(changes: Mapping[str, Any], contestants: Sequence[Contestant]) -> list[str]:
    """What algorithms keep of their own where a setting was given for all.

    Args:
        changes: the settings that were given.
        contestants: the algorithms.

    Returns:
        A sentence for each setting that some algorithm states otherwise.
    """
    found = []
    for name, value in changes.items():
        own = [f"{c.name} ({c.settings[name]})" for c in contestants if c.settings.get(name, value) != value]
        if own:
            found.append(f"{name}={value}: not for {', '.join(own)}, which have their own.")
        if name == "batch_size" and (volumes := [c.name for c in contestants if c.dims == 3]):
            found.append(f"{name}={value}: not for {', '.join(volumes)}, whose batches follow from the analysis.")
    return found
