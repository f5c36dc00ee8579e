# SPDX-License-Identifier: Apache-2.0
"""The settings of a training, kept beside its network, so that evaluation and inference repeat them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_dino.errors import ConfigurationError, WeightsError
from monai_dino.files import read_json_object, write_json

__all__ = ["encoder_settings", "load_settings", "save_settings"]

_LOGGER = logging.getLogger(__name__)


def save_settings(path: str | Path, settings: Mapping[str, Any]) -> None:
    """Writes settings as JSON, whole or not at all.

    Args:
        path: file to write; its folder is made.
        settings: values that JSON can hold.
    """
    write_json(path, settings)


def encoder_settings(weights: str | Path | None, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Reads how images are to be prepared for an encoder: as they were in its pretraining, where that is known.

    Pretraining leaves ``settings.json`` in the folder of the weights. What it states is logged; public weights have
    none, and any weights may be absent.

    Args:
        weights: Hugging Face folder of the encoder; anything else has no settings.
        defaults: values for what the file does not state. Nothing else of the file is taken.

    Returns:
        The settings.

    Raises:
        ConfigurationError: when the file is damaged.
    """
    path = Path(weights or "") / "settings.json"
    if weights is None or not path.is_file():
        return dict(defaults)
    kept = {k: v for k, v in load_settings(path, defaults).items() if k in defaults}
    stated = ", ".join(f"{key}={value!r}" for key, value in kept.items())
    _LOGGER.info("%s: images are prepared as for the pretraining unless another value is given: %s", path, stated)
    return kept


def load_settings(checkpoint: str | Path, defaults: Mapping[str, Any], required: bool = False) -> dict[str, Any]:
    """Reads the settings beside a network; without a network of ours, as beside public weights, the defaults are taken.

    That they are, and which, is logged.

    Args:
        checkpoint: file of the network; its settings are in ``settings.json`` in the same folder.
        defaults: values for settings that the file does not have.
        required: whether the network must be there, as where it is to be evaluated.

    Returns:
        The settings.

    Raises:
        ConfigurationError: when the network is there, but its settings are not, or are damaged; with defaults in their
            place its output could mean nothing.
        WeightsError: when the network must be there, but is not.
    """
    if required and not Path(checkpoint).is_file():
        raise WeightsError(
            f"{checkpoint}: there is no trained network here; run the bundle's train configuration first"
        )
    path = Path(checkpoint).with_name("settings.json")
    if not path.is_file():
        if Path(checkpoint).is_file():
            raise ConfigurationError(
                f"{path}: the settings that {Path(checkpoint).name} was trained with are not here; copy them beside it"
            )
        taken = ", ".join(f"{key}={value!r}" for key, value in defaults.items())
        _LOGGER.warning("%s: there is no such file; what is not given has its default: %s", path, taken)
        return dict(defaults)
    return dict(defaults) | read_json_object(path, ConfigurationError, "train again, or give every setting")
