# SPDX-License-Identifier: Apache-2.0
"""The settings of a training, kept beside its network, so that evaluation and inference repeat them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_dino.errors import ConfigurationError
from monai_dino.files import read_json_object, write_json

__all__ = ["load_settings", "save_settings"]


def save_settings(path: str | Path, settings: Mapping[str, Any]) -> None:
    """Writes settings as JSON, whole or not at all.

    Args:
        path: file to write; its folder is made.
        settings: values that JSON can hold.
    """
    write_json(path, settings)


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
    return dict(defaults) | read_json_object(path, ConfigurationError, "train again, or give every setting")
