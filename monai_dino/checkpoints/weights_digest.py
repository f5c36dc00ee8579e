# SPDX-License-Identifier: Apache-2.0
"""By what weights are known again, wherever they lie."""

from __future__ import annotations

from pathlib import Path

from monai_dino.files import digest, file_digest

__all__ = ["weights_digest"]


def weights_digest(weights: str | Path | None) -> str | None:
    """A digest of weights that a training starts from.

    Args:
        weights: a file or folder, whose content counts, or a hub id.

    Returns:
        SHA-256; of a hub id the id, ``None`` for no weights.
    """
    if weights is None or not Path(weights).exists():
        return weights if weights is None else str(weights)
    root = Path(weights)
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
    return digest([[p.name, file_digest(p)] for p in files])
