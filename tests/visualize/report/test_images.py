# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from monai_dino.data import find_cases
from monai_dino.files import write_json
from monai_dino.visualize.report.images import CaseImages
from monai_dino.visualize.report.run import Run


def images_of(data: Path, images: Sequence[Any], folder: str, channels: Sequence[str] = ()) -> CaseImages:
    """A datalist of images, and a run folder with the predictions of those that are found in a folder of the data."""
    for path in (path for image in images for path in ([image] if isinstance(image, str) else image)):
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        (data / path).touch()
    listed = {"modality": "MR", "channels": list(channels), "testing": [{"image": image} for image in images]}
    write_json(data / "datalist.json", listed)
    found = [item["case"] for item in find_cases(data / folder, channels)]
    files = [f"output/{name}_seg{suffix}" for name in found for suffix in (".nii.gz", ".png")]
    run = Run(data / "run", volumes=files[::2], pictures=files[1::2])
    return CaseImages(run, data, data / "datalist.json")


PATIENTS = ["images/p1/scan.nii.gz", "images/p2/scan.nii.gz"]
CHANNELS = [[f"images/{case}_{c}.nii.gz" for c in ("flair", "t2")] for case in ("a", "b")]


@pytest.mark.parametrize(
    ("images", "folder", "channels", "wanted"),
    [
        (["images/a.nii.gz", "images/b.nii.gz"], "images", [], {"a": "a", "b": "b"}),
        (PATIENTS, ".", [], {"images_p1_scan": "images_p1_scan", "images_p2_scan": "images_p2_scan"}),
        (PATIENTS, "images", [], {"images_p1_scan": "p1_scan", "images_p2_scan": "p2_scan"}),
        (CHANNELS, "images", ["flair", "t2"], {"a_flair": "a", "b_flair": "b"}),
        (["images/a.nii.gz", "labels/b.nii.gz", "labels/c/b.nii.gz"], ".", [],
         {"images_a": "images_a", "labels_b": "labels_b", "labels_c_b": "labels_c_b"}),
    ],
)  # fmt: skip
def test_a_prediction_is_found_whichever_folder_was_predicted(
    images: list[Any], folder: str, channels: list[str], wanted: dict[str, str], tmp_path: Path
) -> None:
    found = images_of(tmp_path, images, folder, channels)
    assert [item["case"] for item in found.splits["testing"]] == list(wanted)
    for case, name in wanted.items():
        assert found.prediction(case) == tmp_path / "run" / "output" / f"{name}_seg.nii.gz"
        assert found.sheet(case) == f"output/{name}_seg.png"
    assert found.unpredicted(list(wanted)) == []


def test_a_name_that_two_cases_may_have_had_is_of_neither(tmp_path: Path) -> None:
    found = images_of(tmp_path, PATIENTS, "images/p2")
    assert found.run.volumes == ["output/scan_seg.nii.gz"]
    assert found.unpredicted(["images_p1_scan", "images_p2_scan", "of no datalist"]) == [
        "images_p1_scan",
        "images_p2_scan",
    ]


def test_without_the_data_pictures_are_found_by_the_channels_of_the_training(tmp_path: Path) -> None:
    settings: dict[str, dict[str, Any]] = {"models/settings.json": {"modality": "mr", "channels": ["flair", "t2"]}}
    run = Run(tmp_path, settings=settings, pictures=["output/a_seg.png"])
    assert CaseImages(run).sheet("a_flair") == "output/a_seg.png"
    assert CaseImages(run).sheet("b_flair") is None


def test_the_fold_of_the_training_is_not_asked_of_another_datalist(tmp_path: Path) -> None:
    write_json(tmp_path / "external.json", {"testing": [{"image": "a.nii.gz"}]})
    run = Run(tmp_path, settings={"models/settings.json": {"modality": "mr", "fold": 0}})
    splits = CaseImages(run, tmp_path, tmp_path / "external.json").splits
    assert [item["case"] for item in splits["testing"]] == ["a"]
