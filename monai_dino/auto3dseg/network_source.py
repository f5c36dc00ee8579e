# SPDX-License-Identifier: Apache-2.0
"""The code that makes an algorithm's network, where it is the user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from monai_dino.files import file_digest

__all__ = ["source_digests"]

_VERSIONED = ("monai", "monai_dino", "torch")  # whose code changes with their version alone


def source_digests(network: Mapping[str, Any] | None) -> dict[str, str]:
    """Digests of the modules that a network's configuration names, so that a change of their code is noticed.

    Of a package all its modules count; what a module imports from elsewhere is not looked at.

    Args:
        network: configuration as MONAI writes it; ``None`` for none.

    Returns:
        Name of the module -> SHA-256 of its files; without those of MONAI, PyTorch and this package, and those that
        cannot be found, which is for the training to say.
    """
    found = {}
    for target in _targets(network):
        module = target.rpartition(".")[0]
        if module.partition(".")[0] in _VERSIONED:
            continue
        while module:
            if files := _files_of(module):
                found[module] = hashlib.sha256("".join(map(file_digest, files)).encode()).hexdigest()
                break
            module = module.rpartition(".")[0]  # of a method, the class is no module
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


def _files_of(module: str) -> list[Path]:
    try:
        spec = find_spec(module)
    except Exception:  # whatever the import of a parent does; the training will say it
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return sorted(path for folder in spec.submodule_search_locations for path in Path(folder).rglob("*.py"))
    return [Path(spec.origin)] if spec.has_location and spec.origin else []
