# SPDX-License-Identifier: Apache-2.0
"""Every value of the transforms that make views, so that a change of one is noticed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
from monai.transforms import Compose, Randomizable, Transform

__all__ = ["view_values"]

_KINDS = (Transform, Randomizable)
_DRAWN = ("R", "parameters", "plans")  # what a transform drew last


def view_values(views: Transform) -> dict[str, Any]:
    """The values of transforms, by name.

    Args:
        views: transforms as :func:`medical_views` gives them, before they drew anything.

    Returns:
        Names such as ``RandEachViewd 1, RandBrightnessContrast 0, prob`` -> what JSON can hold. Of functions and types
        the name stands, of other objects their type.
    """
    return dict(_values(views, ()))


def _values(value: Any, name: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Compose):
        yield from _values(value.transforms, name)
    elif isinstance(value, _KINDS):
        for key, held in vars(value).items():
            if not key.startswith("_") and key not in _DRAWN:
                within = type(held).__name__ if isinstance(held, _KINDS) else key
                yield from _values(held, name if key == "transforms" else (*name, within))
    elif isinstance(value, (list, tuple)) and any(isinstance(held, _KINDS) for held in value):
        for number, held in enumerate(value):
            yield from _values(held, (*name, f"{type(held).__name__} {number}"))
    elif is_dataclass(value) and not isinstance(value, type):
        for key, held in asdict(value).items():
            yield ", ".join((*name, key)), _plain(held)
    else:
        yield ", ".join(name), _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(held) for key, held in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_plain(held) for held in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return getattr(value, "__qualname__", type(value).__name__)
