# SPDX-License-Identifier: Apache-2.0
"""The settings of a training, kept beside its network, so that evaluation and inference repeat them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_dino.errors import ConfigurationError

__all__ = ["load_settings", "save_settings"]


def save_settings(path: str | Path, settings: Mapping[str, Any]) -> None:
    """Writes settings as JSON, whole or not at all.

    Args:
        path: file to write; its folder is made.
        settings: values that JSON can hold.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(dict(settings), indent=1), encoding="utf-8")
    os.replace(partial, path)


def load_settings(checkpoint: str | Path, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the settings beside a network; where there is no network yet, the defaults are returned.

    Args:
        checkpoint: file of the network; its settings are in ``settings.json`` in the same folder.
        defaults: values for settings that the file does not have.

    Returns:
        The settings.

    Raises:
        ConfigurationError: when the network is there, but its settings are not, or are damaged; with defaults in their
            place its output could mean nothing.
    """
    path = Path(checkpoint).with_name("settings.json")
    if not path.is_file():
        if Path(checkpoint).is_file():
            raise ConfigurationError(
                f"{path}: the settings that {Path(checkpoint).name} was trained with are not here; copy them beside it"
            )
        return dict(defaults)
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{path}: not valid JSON ({error}); train again, or give every setting") from None
    if not isinstance(settings, dict):
        raise ConfigurationError(f"{path}: holds no settings ({settings!r}); train again, or give every setting")
    return dict(defaults) | settings
