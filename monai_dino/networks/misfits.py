# SPDX-License-Identifier: Apache-2.0
"""What does not fit when weights are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["misfits"]


def misfits(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Names every tensor that is missing, unexpected or of another shape.

    Args:
        found: name -> tensor, or its shape, of the file; what is neither fits nothing.
        wanted: the same of the network.

    Returns:
        A line for each, in the network's order; empty where all fit.
    """
    problems = [f"missing: {name}" for name in wanted if name not in found]
    problems += [f"unexpected: {name}" for name in found if name not in wanted]
    shapes = {name: (_shape(found[name]), _shape(value)) for name, value in wanted.items() if name in found}
    return problems + [f"{name}: found {has}, wanted {wants}" for name, (has, wants) in shapes.items() if has != wants]


def _shape(value: Any) -> Any:
    shape = getattr(value, "shape", value)
    return tuple(shape) if isinstance(shape, (tuple, list)) else type(value).__name__
