# SPDX-License-Identifier: Apache-2.0
"""What many tests need: tiny networks, small images on disk, and the real data, where it is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from common import TINY


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(2)


@pytest.fixture
def tiny() -> dict[str, Any]:
    """Configuration of a tiny DINOv2 encoder."""
    return dict(TINY["dinov2"])


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data that the environment variable MONAI_DINO_DATA names."""
    folder = os.environ.get("MONAI_DINO_DATA")
    if not folder:
        pytest.skip("MONAI_DINO_DATA is not set, so there is no real data to test with")
    return Path(folder)


@pytest.fixture
def write_nifti(tmp_path: Path):
    """Writes an array as NIfTI below the temporary folder and returns the path."""

    def write(name: str, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
        return path

    return write


@pytest.fixture
def segmentation_data(tmp_path: Path) -> Path:
    """Six small volumes with a bright ball to segment, and a datalist of two folds and a test set."""
    root = tmp_path / "balls"
    rng = np.random.default_rng(0)
    affine = np.diag([-1.0, 1.0, 2.0, 1.0])
    items = []
    for index in range(6):
        shape = (24, 30, 6)
        centre = rng.uniform(8, 16, size=2)
        x, y, z = np.indices(shape)
        ball = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + 4 * (z - 3) ** 2) < 36
        image = rng.normal(100, 10, shape) + 100 * ball
        for part, array in (("images", image.astype(np.float32)), ("labels", ball.astype(np.uint8))):
            (root / part).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(array, affine), root / part / f"case{index}.nii.gz")
        name = f"case{index}.nii.gz"
        items.append({"image": f"images/{name}", "label": f"labels/{name}", "patient": f"p{index}", "fold": index % 2})
    content = {"labels": {"0": "background", "1": "ball"}, "training": items[:4], "testing": items[4:]}
    (root / "datalist.json").write_text(json.dumps(content))
    return root
