# SPDX-License-Identifier: Apache-2.0
"""Values as the page shows them: no path outside the run folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

__all__ = ["plain"]

_ABSOLUTE = re.compile(r"^(/|[A-Za-z]:[\\/]|\\\\|~)")


def plain(value: Any, folder: Path) -> str:
    """A setting as text.

    Args:
        value: what JSON can hold.
        folder: the run folder, to which paths are relative; of a path outside it the last part alone is kept, since
            the others could name a person or a project.

    Returns:
        The text.
    """
    if isinstance(value, str):
        return _shortened(value, folder)
    if isinstance(value, (list, dict)):
        return json.dumps(_inside(value, folder), ensure_ascii=False)
    return "none" if value is None else str(value)


def _inside(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {k: _inside(v, folder) for k, v in value.items()}
    if isinstance(value, list):
        return [_inside(v, folder) for v in value]
    return _shortened(value, folder) if isinstance(value, str) else value


def _shortened(text: str, folder: Path) -> str:
    if not _ABSOLUTE.match(text):
        return text
    if Path(text).is_relative_to(folder):
        return Path(text).relative_to(folder).as_posix()
    last = [part for part in re.split(r"[/\\]+", text) if part][-1:]
    return "/".join(["...", *last])
