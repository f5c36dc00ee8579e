# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from dicom_files import write_series
from skimage.io import imsave
from synthetic import write_volume

from monai_dino.data.check_case import CaseReport, check_case

SHAPE = (12, 14, 9)


def ct(seed: int = 0) -> np.ndarray:
    image = np.random.default_rng(seed).normal(-200, 300, SHAPE).astype(np.int16)
    image[0] = -1000
    return image


def check(item: dict[str, Any], modality: str | None = "ct", classes: int | None = 2, channels: int = 1) -> CaseReport:
    return check_case({"case": "a", "patient": "p", **item}, "training", channels, classes, modality)


def found(report: CaseReport) -> list[tuple[str, str]]:
    return [(f.severity, f.topic) for f in report.findings]


@pytest.fixture
def good(tmp_path: Path) -> dict[str, Any]:
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:6, 3:6, 3:6] = 1
    affine = np.diag([-1.0, 1.5, 2.0, 1.0])
    return {
        "image": str(write_volume(tmp_path / "a.nii.gz", ct(), affine)),
        "label": str(write_volume(tmp_path / "m.nii.gz", mask, affine)),
    }


def test_good_cases_have_no_findings(good: dict[str, Any], tmp_path: Path) -> None:
    report = check(good)
    assert report.findings == []
    assert (report.shape, report.orientation) == (list(SHAPE), "LAS")
    assert report.spacing == pytest.approx([1, 1.5, 2])
    assert report.volumes == {1: pytest.approx(27 * 3 / 1000)}
    assert report.percentiles is not None
    assert report.percentiles["0"] == [ct().min()]
    digests = {good[key]: hashlib.sha256(Path(good[key]).read_bytes()).hexdigest() for key in ("image", "label")}
    assert report.digests == digests
    assert check({"image": good["image"], "label": 1}).findings == []
    write_series(tmp_path / "series", ct() + 1000, RescaleIntercept=-1000)
    assert check({"image": str(tmp_path / "series"), "label": 0}).findings == []


def test_a_mask_in_another_orientation_is_on_the_grid(good: dict[str, Any], tmp_path: Path) -> None:
    mask = nib.load(good["label"])
    turned = nib.as_closest_canonical(mask)
    nib.save(turned, tmp_path / "turned.nii.gz")
    assert turned.affine[0, 0] > 0 > mask.affine[0, 0]
    assert check({**good, "label": str(tmp_path / "turned.nii.gz")}).findings == []


def test_what_training_would_refuse_is_an_error(good: dict[str, Any], tmp_path: Path) -> None:
    def change(**new: Any) -> dict[str, Any]:
        return {**good, **new}

    nan = ct().astype(np.float32)
    nan[1, 2, 3] = np.nan
    broken = {
        "missing": change(image=str(tmp_path / "gone.nii.gz")),
        "not finite": change(image=str(write_volume(tmp_path / "nan.nii", nan, np.eye(4)))),
        "differs from": change(label=str(write_volume(tmp_path / "s.nii", np.zeros((3, 4, 5), "u1"), np.eye(4)))),
        "lies elsewhere": change(label=str(write_volume(tmp_path / "e.nii", np.zeros(SHAPE, "u1"), np.eye(4)))),
        "label values [7]": change(
            label=str(write_volume(tmp_path / "c.nii", np.full(SHAPE, 7, "u1"), np.diag([-1.0, 1.5, 2.0, 1.0])))
        ),
        "label is 5": change(label=5),
    }
    for words, item in broken.items():
        report = check(item)
        assert [f.severity for f in report.findings if f.severity == "error"] == ["error"], words
        (error,) = [f for f in report.findings if f.severity == "error"]
        assert words in error.what or words == error.topic
        assert error.remedy
    assert "in_channels is 2" in check(good, channels=2).findings[0].what


@pytest.mark.parametrize(
    ("modality", "values", "topic"),
    [
        ("ct", np.arange(0, 4000), "intensity"),
        ("ct", np.arange(-1000, 30000, 10), "intensity"),
        ("ct", np.arange(-30000, 3000, 10), "intensity"),
        ("mr", np.arange(-500, 500), "intensity"),
        ("us", np.arange(0, 4000), "intensity"),
        ("mr", np.linspace(0, 1, 999).astype("f4"), "intensity"),
        ("mr", np.full(10, 7), "intensity"),
        ("mr", np.arange(900), None),
        ("us", np.arange(255), None),
        ("ct", np.arange(-1024, 2000), None),
        (None, np.arange(-500, 500), None),
    ],
)
def test_intensities_that_do_not_fit_the_modality(
    modality: str | None, values: np.ndarray, topic: str | None, tmp_path: Path
) -> None:
    dtype = values.dtype if values.dtype.kind == "f" else np.int16
    image = np.resize(values, SHAPE).astype(dtype)
    image.flat[: min(len(values), image.size)] = values[: image.size]
    image.flat[-1] = values[-1]
    report = check({"image": str(write_volume(tmp_path / "x.nii", image, np.eye(4))), "label": 0}, modality)
    assert found(report) == ([] if topic is None else [("warning", topic)])


def test_hu_that_lost_their_sign_are_named(tmp_path: Path) -> None:
    image = write_volume(tmp_path / "x.nii", ct().astype(np.uint16), np.eye(4))
    (finding,) = check({"image": str(image), "label": 0}, "ct").findings
    assert "negative HU that were read without their sign?" in finding.what
    assert finding.remedy == "convert it with a signed type"


def test_voxels_that_are_not_finite_are_counted_when_they_are_filled(tmp_path: Path) -> None:
    image = ct().astype(np.float32)
    image[1, 2, 3] = image[4, 2, 3] = np.inf
    item = {"image": str(write_volume(tmp_path / "x.nii.gz", image, np.eye(4))), "case": "a", "patient": "a"}
    (finding,) = check_case({**item, "label": 0}, "training", 1, 2, "ct", fill=-1000).findings
    assert (finding.severity, finding.topic) == ("warning", "not finite")
    assert finding.what.startswith(f"2 of {image.size} voxels")


def test_a_bad_mask_does_not_hide_what_is_odd_about_the_image(good: dict[str, Any], tmp_path: Path) -> None:
    image = write_volume(tmp_path / "x.nii", np.abs(ct()), np.diag([-1.0, 1.5, 2.0, 1.0]))
    mask = write_volume(tmp_path / "m.nii", np.full(SHAPE, 7, "u1"), np.diag([-1.0, 1.5, 2.0, 1.0]))
    report = check({"image": str(image), "label": str(mask)}, "ct")
    assert found(report) == [("warning", "intensity"), ("error", "unusable")]
    assert list(report.volumes) == [7]


@pytest.mark.parametrize(
    ("affine", "shape", "topic"),
    [
        (np.diag([1e-3, 1e-3, 1e-3, 1]), SHAPE, "spacing"),
        (np.diag([1.0, 1.0, 80, 1]), SHAPE, "spacing"),
        (np.diag([0.5, 2.0, 9, 1]), SHAPE, "spacing"),
        (np.array([[1, 0, 0.3, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), SHAPE, "shear"),
        (np.eye(4), (20, 5, 6), "size"),
    ],
)
def test_geometry_that_makes_little_sense(affine: np.ndarray, shape: Any, topic: str, tmp_path: Path) -> None:
    image = np.resize(ct(), shape)
    report = check({"image": str(write_volume(tmp_path / "x.nii", image, affine)), "label": 0})
    assert ("warning", topic) in found(report)


def test_labels_that_are_empty_or_lack(good: dict[str, Any], tmp_path: Path) -> None:
    empty = write_volume(tmp_path / "0.nii", np.zeros(SHAPE, "u1"), np.diag([-1.0, 1.5, 2.0, 1.0]))
    assert found(check({**good, "label": str(empty)})) == [("note", "label")]
    assert found(check({"image": good["image"]})) == [("note", "label")]


def test_a_grey_picture_with_some_colour_is_suspected_of_an_overlay(tmp_path: Path) -> None:
    pixels = np.repeat(np.random.default_rng(0).integers(0, 255, (40, 40, 1), dtype=np.uint8), 3, axis=2)
    imsave(tmp_path / "grey.png", pixels, check_contrast=False)
    assert check({"image": str(tmp_path / "grey.png"), "label": 0}, "us").findings == []
    pixels[3:6, 3:9] = (255, 255, 0)
    imsave(tmp_path / "x.png", pixels, check_contrast=False)
    (finding,) = check({"image": str(tmp_path / "x.png"), "label": 0}, "us").findings
    assert finding.severity == "error"
    assert "only 1.1% of its pixels are coloured: is something burnt in?" in finding.what
