# SPDX-License-Identifier: Apache-2.0
"""What of a checkpoint is not a tensor, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_dino.checkpoints.manifest import STATE

__all__ = ["decode_state", "encode_state"]


def encode_state(step: int, state: Mapping[str, Any]) -> str:
    """Writes a state as JSON. NaN and infinity are kept: a best score may be one.

    Raises:
        TypeError: for what JSON cannot hold, or would change: keys that are not strings.
    """
    _check_keys(state, "state")
    return json.dumps({"step": step, "state": dict(state)}, indent=1)


def decode_state(folder: Path, step: int) -> dict[str, Any]:
    """Reads the state of a checkpoint.

    Raises:
        OSError: when the file cannot be read.
        ValueError: when it holds something else.
    """
    content = json.loads((folder / STATE).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("step") != step or not isinstance(content.get("state"), dict):
        raise ValueError(f"{STATE}: not the state of step {step}")
    state: dict[str, Any] = content["state"]
    return state


def _check_keys(value: Any, place: str) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{place}: key {key!r} is no string; a checkpoint would bring it back as one")
            _check_keys(inner, f"{place}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            _check_keys(inner, f"{place}[{index}]")
