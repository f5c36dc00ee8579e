# SPDX-License-Identifier: Apache-2.0
"""What many tests need: tiny networks, small images on disk, and the real data, where it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from common import TINY
from hypothesis import settings
from synthetic import write_balls

# How long an example takes depends on what else the machine is doing.
settings.register_profile("suite", deadline=None, max_examples=40)
settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # tests run in two processes on two cores


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
    return write_balls(tmp_path / "balls")


@pytest.fixture(scope="session")
def balls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data, made once; do not change it."""
    return write_balls(tmp_path_factory.mktemp("data") / "balls")


@pytest.fixture(scope="session")
def trained_segmenter(balls: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmentation bundle trained on the balls; do not change it, and write results elsewhere (`output_dir`)."""
    from bundle_runs import SEGMENTATION, copy_bundle, run_bundle

    bundle = copy_bundle("dino_segmentation", tmp_path_factory.mktemp("bundles") / "segmenter")
    run_bundle(bundle, "train", dataset_dir=balls, **SEGMENTATION)
    return bundle
