# SPDX-License-Identifier: Apache-2.0
"""Files that are written whole or not at all, and JSON that is read with an error a person can act on."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai_dino.errors import MonaiDinoError

__all__ = ["digest", "file_digest", "read_json_object", "write_csv", "write_json", "written_whole"]


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Gives a path beside a file's own to write to; when that worked, it takes the place of the file in one step.

    An interruption at any moment leaves the previous file, or none, under the name; a reader never sees a part.

    Args:
        path: file to write; its folder is made.

    Yields:
        Where to write. It has the same suffixes, since many writers go by them.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".part-{path.name}")
    try:
        yield partial
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())  # else a crash of the machine could keep the name and lose the content
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Writes an object as JSON, whole or not at all.

    Args:
        path: file to write; its folder is made.
        content: values that JSON can hold; NaN and infinity are none.
    """
    with written_whole(path) as partial:
        partial.write_text(json.dumps(dict(content), indent=1, allow_nan=False), encoding="utf-8")


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows as CSV with a header, whole or not at all.

    Args:
        path: file to write; its folder is made.
        rows: name of the column -> value; a row may lack columns that others have.
    """
    with written_whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def read_json_object(path: str | Path, error: type[MonaiDinoError], advice: str) -> dict[str, Any]:
    """Reads a JSON object.

    Args:
        path: the file.
        error: what is raised when there is none.
        advice: what its message tells the user to do.

    Returns:
        The object.

    Raises:
        MonaiDinoError: an ``error`` that names the file, when it cannot be read, is no JSON or no object.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as reason:
        kind = "cannot be read" if isinstance(reason, OSError) else "not valid JSON"
        raise error(f"{path}: {kind} ({reason}); {advice}") from None
    if not isinstance(content, dict):
        raise error(f"{path}: expected a JSON object, found {type(content).__name__}; {advice}")
    return content


def digest(content: Any) -> str:
    """A digest of what JSON can hold.

    Args:
        content: the content.

    Returns:
        SHA-256, in hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file.

    Args:
        path: the file.

    Returns:
        Hexadecimal digits.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
