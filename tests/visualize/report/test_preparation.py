# SPDX-License-Identifier: Apache-2.0
"""Images of a folder of results, which may have no settings of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from run_folders import segmentation_run, written
from synthetic import write_volume

from monai_dino.files import write_json
from monai_dino.visualize.report import Run, write_run_report
from monai_dino.visualize.report.images import CaseImages
from monai_dino.visualize.report.run import Evaluation

CT = {"modality": "ct", "plane": "axial", "in_channels": 1}
SAID = "intensities are scaled as those of ct, as datalist.json states"


def images_of(data: Path, modality: Any, image: Any = "a.nii.gz", **found: Any) -> CaseImages:
    """A folder with -160, 40 and 240 HU along each axis, a datalist, and a run folder of which this is known."""
    hu = np.broadcast_to(np.array([-160, 40, 240])[:, None, None], (3, 4, 5)).astype(np.float32)
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(data / name, hu)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)).save(data / "colour.png")
    stated = {} if modality is None else {"modality": modality}
    write_json(data / "datalist.json", stated | {"testing": [{"image": image}]})
    return CaseImages(Run(data / "run", **found), data)


def test_the_datalist_says_how_intensities_are_scaled(tmp_path: Path) -> None:
    images = images_of(tmp_path, {"0": "CT"})
    volume = images.volume("a")
    assert volume is not None
    assert np.unique(volume.image).tolist() == pytest.approx([0, 0.5, 1])  # the soft-tissue window, no percentiles
    assert volume.image.shape == (4, 3, 5)
    assert images.said == (SAID, "slices are axial, since nothing states another plane")


@pytest.mark.parametrize("modality", [None, "PET", {"0": "CT", "1": "MRI"}])
def test_no_modality_is_guessed(modality: Any, tmp_path: Path) -> None:
    images = images_of(tmp_path, modality)
    assert images.volume("a") is None
    assert "neither the run folder nor datalist.json states one modality" in images.undrawn
    assert images.unpredicted(["a"]) == []  # since its truth is not drawn either
    assert images_of(tmp_path, modality, settings={"settings.json": CT}).undrawn == ""


@pytest.mark.parametrize("modality", [None, "MR"])
def test_what_the_run_folder_states_counts_first(modality: str | None, tmp_path: Path) -> None:
    probed = Evaluation("eval/knn.json", CT | {"plane": "coronal"}, "", {})
    images = images_of(tmp_path, modality, evaluations=[probed])
    volume = images.volume("a")
    assert volume is not None
    assert np.unique(volume.image).tolist() == pytest.approx([0, 0.5, 1])
    assert volume.image.shape == (5, 3, 4)
    assert images.said == ()
    assert images.source == "eval/knn.json"
    trained = images_of(tmp_path, modality, evaluations=[probed], settings={"settings.json": CT})
    assert trained.source == "settings.json"


@pytest.mark.parametrize(
    ("modality", "image", "case"),
    [("CT", ["a.nii.gz", "b.nii.gz"], "a"), ({"0": "T1", "1": "T2"}, ["a.nii.gz", "b.nii.gz"], "a"),
     ("RGB", "colour.png", "colour")],
)  # fmt: skip
def test_images_of_several_channels_are_drawn(modality: Any, image: Any, case: str, tmp_path: Path) -> None:
    volume = images_of(tmp_path, modality, image).volume(case)
    assert volume is not None
    assert volume.image.ndim == (4 if modality == "RGB" else 3)


def test_the_page_says_why_nothing_is_drawn_or_how(tmp_path: Path) -> None:
    run_dir = segmentation_run(tmp_path / "run", tmp_path / "data")
    (run_dir / "models" / "settings.json").unlink()
    datalist = tmp_path / "data" / "datalist.json"
    listed = {"testing": [{"image": f"images/case{k}.nii.gz", "label": f"labels/case{k}.nii.gz"} for k in (4, 5)]}
    write_json(datalist, listed)
    page = written(write_run_report(run_dir, dataset_dir=tmp_path / "data", cases=1))
    assert '<figure class="viewer">' not in page
    for part in ("Pictures", "Sample predictions", "Images of the data"):
        assert f"Missing: {part}. </strong>Neither the run folder nor datalist.json states one modality" in page
        assert f"Missing: {part}. </strong>No image" not in page
    write_json(datalist, listed | {"modality": "CT"})
    page = written(write_run_report(run_dir, dataset_dir=tmp_path / "data", cases=1))
    assert page.count('<figure class="viewer">') == 2
    assert SAID in page
    assert "slices are axial, since nothing states another plane" in page
