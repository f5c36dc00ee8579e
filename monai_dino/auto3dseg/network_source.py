# SPDX-License-Identifier: Apache-2.0
"""The code that an algorithm's network is made by, where it is the user's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from monai_dino.data.sources import file_digest

__all__ = ["source_digests"]

_VERSIONED = ("monai", "monai_dino", "torch")  # whose code changes with their version alone


def source_digests(network: Mapping[str, Any] | None) -> dict[str, str]:
    """Digests of the modules that a network's configuration names, so that a change of their code is noticed.

    What these modules import is not looked at.

    Args:
        network: configuration as MONAI writes it; ``None`` for none.

    Returns:
        Name of the module -> SHA-256 of its file; without those of MONAI, PyTorch and this package, and those that
        cannot be found, which is for the training to say.
    """
    found = {}
    for target in _targets(network):
        module, dot, _ = target.rpartition(".")
        if dot and module.partition(".")[0] not in _VERSIONED and (path := _file_of(module)) is not None:
            found[module] = file_digest(path)
    return dict(sorted(found.items()))


def _targets(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("_target_"), str):
            yield value["_target_"]
        for part in value.values():
            yield from _targets(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _targets(part)


def _file_of(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):  # of a class within a class, the parent is no module
        return None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None
