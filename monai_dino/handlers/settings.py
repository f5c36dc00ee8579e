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


def load_settings(path: str | Path, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Reads settings; where there are none yet, the defaults are returned.

    Args:
        path: file written by :func:`save_settings`.
        defaults: values for settings that the file does not have.

    Returns:
        The settings.

    Raises:
        ConfigurationError: when the file is there, but damaged.
    """
    path = Path(path)
    if not path.is_file():
        return dict(defaults)
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{path}: not valid JSON ({error}); train again, or give every setting") from None
    if not isinstance(settings, dict):
        raise ConfigurationError(f"{path}: holds no settings ({settings!r}); train again, or give every setting")
    return dict(defaults) | settings
