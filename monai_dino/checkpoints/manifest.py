# SPDX-License-Identifier: Apache-2.0
"""The manifest of a checkpoint: size and SHA-256 of each of its files, by which damage is seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["MANIFEST", "STATE", "describe", "verify", "write_manifest"]

MANIFEST = "manifest.json"
STATE = "state.json"
_FORMAT = 1


def verify(folder: str | Path, hashes: bool = True) -> list[str]:
    """Looks for damage of a checkpoint.

    Args:
        folder: the checkpoint.
        hashes: whether to compute SHA-256 sums, which reads every byte; sizes are always compared.

    Returns:
        What is wrong, each with the name of the file; nothing when the checkpoint is whole.
    """
    folder = Path(folder)
    try:
        files = _read_manifest(folder)
    except (OSError, ValueError) as error:
        return [f"{MANIFEST}: {error}"]
    problems = [problem for name, facts in files.items() if (problem := _compare(folder / name, facts, hashes))]
    # The reader takes every file of tensors that it finds.
    return [*problems, *(f"{path.name}: not in {MANIFEST}" for path in _tensor_files(folder) if path.name not in files)]


def describe(path: Path, hashes: bool = True) -> dict[str, Any]:
    """Size and SHA-256 of a file."""
    size = path.stat().st_size
    if not hashes:
        return {"size": size}
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return {"size": size, "sha256": digest.hexdigest()}


def write_manifest(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> Path:
    """Writes the manifest; without any blanks, so that each of its bytes means something."""
    path = folder / MANIFEST
    path.write_text(json.dumps({"format": _FORMAT, "files": files}, separators=(",", ":")), encoding="utf-8")
    return path


def _read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format") != _FORMAT or content.keys() != {"format", "files"}:
        raise ValueError(f"not a manifest of format {_FORMAT}")
    files = content["files"]
    if not isinstance(files, dict) or any(Path(name).name != name for name in files) or STATE not in files:
        raise ValueError(f"does not list {STATE} and the files of tensors")
    return files


def _compare(path: Path, facts: Any, hashes: bool) -> str | None:
    if not isinstance(facts, dict) or facts.keys() != {"size", "sha256"}:
        return f"{MANIFEST}: has no size and SHA-256 of {path.name}"
    try:
        found = describe(path, hashes=hashes and path.stat().st_size == facts["size"])
    except OSError as error:
        return f"{path.name}: cannot be read ({error})"
    if found["size"] != facts["size"]:
        return f"{path.name}: has {found['size']} bytes, {MANIFEST} says {facts['size']}"
    if hashes and found["sha256"] != facts["sha256"]:
        return f"{path.name}: its content was changed (SHA-256 {found['sha256'][:16]}… is not that of {MANIFEST})"
    return None


def _tensor_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))
