# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from dicom_files import write_series
from PIL import Image

from monai_dino.data.datalist_builder import build_datalist, write_datalist
from monai_dino.data.pairing import Pairing, pair_classes, pair_masks, pair_table
from monai_dino.errors import DatalistError, InputError


def pictures(root: Path, *names: str, value: int = 0) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((4, 5), "u1")
        pixels[1, 1] = value
        Image.fromarray(pixels).save(root / name)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Six patients with two pictures each, of two classes."""
    for patient in range(6):
        kind = "ill" if patient % 2 else "well"
        pictures(tmp_path / "classes", *(f"{kind}/PAT{patient:03d}_{n}.png" for n in range(2)))
    return tmp_path / "classes"


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Six pictures with masks of the classes 0 to 2."""
    for k in range(6):
        pictures(tmp_path / "masks", f"images/c{k}.png")
        pictures(tmp_path / "masks", f"labels/c{k}.png", value=k % 3)
    return tmp_path / "masks"


def test_what_a_datalist_holds(masks: Path) -> None:
    pairing = pair_masks(masks / "images", masks / "labels", "_mask")
    content = build_datalist(pairing, masks, folds=2, test_share=1 / 3, modality="us").content
    assert content["labels"] == {"0": "background", "1": "label 1", "2": "label 2"}
    assert (content["modality"], content["name"]) == ({"0": "us"}, masks.name)
    assert (content["numTraining"], content["numTest"]) == (len(content["training"]), len(content["testing"])) == (4, 2)
    for item in [*content["training"], *content["testing"]]:
        assert item["label"] == item["image"].replace("images", "labels")
        assert (masks / item["image"]).is_file()
    assert Counter(item["fold"] for item in content["training"]) == {0: 2, 1: 2}
    assert not any("fold" in item for item in content["testing"])


def test_paths_are_relative_wherever_one_stands(masks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(masks / "images")
    pairing = pair_masks(Path("."), Path("../labels"), "_mask")
    content = build_datalist(pairing, Path(".."), folds=2).content
    assert sorted(item["image"] for item in content["training"]) == [f"images/c{k}.png" for k in range(6)]
    assert content["name"] == masks.name


def test_several_files_are_lists(tmp_path: Path) -> None:
    for k in range(2):
        pictures(tmp_path, f"{k}_t1.png", f"{k}_t2.png", f"{k}_mask.png", f"{k}_mask_1.png", value=1)
    content = build_datalist(pair_masks(tmp_path, None, "_mask", ["t1", "t2"]), tmp_path, folds=2).content
    first = min(content["training"], key=lambda item: item["image"])
    assert first["image"] == ["0_t1.png", "0_t2.png"]
    assert first["label"] == ["0_mask.png", "0_mask_1.png"]


def test_same_seed_same_datalist(classes: Path) -> None:
    def build(seed: int) -> dict[str, Any]:
        return build_datalist(pair_classes(classes), classes, folds=3, seed=seed).content

    assert build(1) == build(1)
    assert len({json.dumps(build(seed)) for seed in range(5)}) > 1


def test_classes_are_numbered_by_name(classes: Path) -> None:
    content = build_datalist(pair_classes(classes), classes, folds=2).content
    assert content["labels"] == {"0": "ill", "1": "well"}
    assert all(item["label"] == int(item["image"].startswith("well")) for item in content["training"])
    for fold in range(2):
        labels = [item["label"] for item in content["training"] if item["fold"] == fold]
        assert sorted(labels) == [0, 0, 0, 1, 1, 1]


def test_names_of_classes_may_be_given(classes: Path, masks: Path) -> None:
    content = build_datalist(pair_classes(classes), classes, folds=2, label_names=["well", "ill", "unsure"]).content
    assert content["labels"] == {"0": "well", "1": "ill", "2": "unsure"}
    assert all(item["label"] == int(item["image"].startswith("ill")) for item in content["training"])
    with pytest.raises(DatalistError, match="class 'ill' is not among well, sick"):
        build_datalist(pair_classes(classes), classes, label_names=["well", "sick"])
    pairing = pair_masks(masks / "images", masks / "labels", "_mask")
    names = ["background", "gland", "tumour"]
    assert build_datalist(pairing, masks, folds=2, label_names=names).content["labels"]["2"] == "tumour"
    with pytest.raises(DatalistError, match=r"label names: 2 given \(background, gland\), but a mask holds class 2"):
        build_datalist(pairing, masks, folds=2, label_names=names[:2])


def test_damaged_mask_is_named(masks: Path) -> None:
    (masks / "labels" / "c3.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"c3\.png: cannot be read"):
        build_datalist(pair_masks(masks / "images", masks / "labels", "_mask"), masks, folds=2)


def test_nothing_paired(tmp_path: Path) -> None:
    with pytest.raises(DatalistError, match=r"no image could be paired with a label \(no images found\)"):
        build_datalist(Pairing(), tmp_path)
    pictures(tmp_path, "a.png")
    with pytest.raises(DatalistError, match=r"paired with a label \(a\.png: no mask named a_mask\)"):
        build_datalist(pair_masks(tmp_path, None, "_mask"), tmp_path)


# Patients


def groups(content: dict[str, Any]) -> dict[str, set[str]]:
    """Patient -> images."""
    result: dict[str, set[str]] = {}
    for item in [*content["training"], *content["testing"]]:
        result.setdefault(item["patient"], set()).add(item["image"])
    return result


def test_patients_by_pattern(classes: Path) -> None:
    report = build_datalist(pair_classes(classes), classes, folds=2, test_share=0.3, patient_pattern=r"PAT(\d+)_")
    assert report.patients == 6
    assert report.patients_known
    assert groups(report.content).keys() == {f"p{k:04d}" for k in range(6)}
    for images in groups(report.content).values():
        assert len({Path(image).name[:6] for image in images}) == 1
        assert len(images) == 2


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", r"patient pattern '\(': not a regular expression"),
        (r"XYZ(\d+)", r"no group of it fits ill/PAT001_0\.png \(12 cases\)"),
        (r"PAT\d+", r"no group of it fits ill/PAT001_0\.png \(12 cases\)"),
        (r"(PAT00[1-4])", r"no group of it fits .*PAT00[05]_\d\.png \(4 cases\)"),
    ],
)
def test_patterns_that_do_not_fit(pattern: str, message: str, classes: Path) -> None:
    with pytest.raises(DatalistError, match=message):
        build_datalist(pair_classes(classes), classes, patient_pattern=pattern)


def test_patients_by_table(classes: Path) -> None:
    rows = [f"{p.relative_to(classes)},x,{p.name[:6]}-secret" for p in sorted(classes.rglob("*.png"))]
    (classes / "table.csv").write_text("\n".join(["image,label,patient", *rows]))
    report = build_datalist(pair_table(classes, classes / "table.csv"), classes, folds=2)
    assert report.patients == 6
    assert all(len(images) == 2 for images in groups(report.content).values())
    assert "secret" not in json.dumps(report.content)


def test_several_labels_by_table(classes: Path) -> None:
    found = ["Mass|Effusion", "Effusion", "No Finding", "Mass", "Effusion | Mass"]
    rows = [f"{p.relative_to(classes)},{found[k % 5]}" for k, p in enumerate(sorted(classes.rglob("*.png")))]
    (classes / "table.csv").write_text("\n".join(["image,label", *rows]))
    content = build_datalist(pair_table(classes, classes / "table.csv"), classes, folds=2).content
    assert content["labels"] == {"0": "Effusion", "1": "Mass"}
    labels = {item["image"]: item["label"] for item in content["training"]}
    expected = [[1, 1], [1, 0], [0, 0], [0, 1], [1, 1]]
    assert [labels[name] for name in sorted(labels)] == [expected[k % 5] for k in range(12)]


def test_without_patients_each_case_is_one(classes: Path) -> None:
    report = build_datalist(pair_classes(classes), classes, folds=2)
    assert report.patients == 12
    assert not report.patients_known
    assert all(len(images) == 1 for images in groups(report.content).values())


@pytest.mark.parametrize("single", [False, True], ids=["folders", "files"])
def test_patients_by_dicom_whose_identifier_is_not_written(single: bool, tmp_path: Path) -> None:
    for k in range(6):
        folder = tmp_path / ("ill" if k < 4 else "well") / f"s{k}"
        write_series(folder, np.zeros((4, 5, 1 if single else 3), "<i2"), PatientID=f"SECRET-{k // 2}")
        (folder / "._000.dcm").write_bytes(b"left by macOS")
    report = build_datalist(pair_classes(tmp_path), tmp_path, folds=2)
    assert report.patients == 3
    assert report.patients_known
    assert [sorted(Path(i).parts[1] for i in images) for images in groups(report.content).values()] == [
        ["s0", "s1"], ["s2", "s3"], ["s4", "s5"],
    ]  # fmt: skip
    assert "SECRET" not in json.dumps(report.content) + str(report)


def test_empty_patient_id_is_none(tmp_path: Path) -> None:
    for k in range(4):
        write_series(tmp_path / "ill" / f"s{k}", np.zeros((4, 5, 2), "<i2"), PatientID="" if k % 2 else None)
    report = build_datalist(pair_classes(tmp_path), tmp_path, folds=2)
    assert report.patients == 4
    assert not report.patients_known


# The report


def test_summary(masks: Path) -> None:
    for k in range(12):
        pictures(masks, f"images/stray{k:02d}.png")
    pairing = pair_masks(masks / "images", masks / "labels", "_mask")
    lines = str(build_datalist(pairing, masks, folds=2, test_share=1 / 3)).splitlines()
    assert lines[:5] == [
        "cases      6 of 6 patients (each case counts as a patient of its own; see --patient-pattern)",
        "classes    0 background, 1 label 1, 2 label 2",
        "training   4 cases in folds of 2 2",
        "testing    2 cases",
        "left out   12",
    ]
    assert lines[5:] == [
        *(f"  images/stray{k:02d}.png: no mask named stray{k:02d}_mask" for k in range(10)),
        "  and 2 more",
    ]
    pattern = build_datalist(pairing, masks, folds=2, patient_pattern=r"c(\d)")
    assert str(pattern).splitlines()[0] == "cases      6 of 6 patients"


# Writing


def test_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "datalist.json"
    write_datalist({"name": "é"}, path, overwrite=False)
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "é"}
    with pytest.raises(DatalistError, match=r"datalist\.json is there already; .* \(--overwrite\)"):
        write_datalist({"name": "b"}, path, overwrite=False)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            write_datalist({"name": "b"}, path, overwrite=True)
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "é"}
    write_datalist({"name": "b"}, path, overwrite=True)
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "b"}
    assert os.listdir(path.parent) == ["datalist.json"]


def test_stray_values_are_no_classes(tmp_path: Path) -> None:
    """Such as those at the edges of a mask that was saved as JPEG."""
    for k, values in enumerate(((0, 1, 2), (0, 2, 7))):
        paths = [tmp_path / "images" / f"{k}.nii", tmp_path / "masks" / f"{k}.nii"]
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(np.array(values, np.uint8).reshape(3, 1, 1), np.eye(4)), path)
    pairing = pair_masks(tmp_path / "images", tmp_path / "masks", "_mask")
    with pytest.raises(DatalistError, match=r"hold the values 0, 1, 2, 7, but never 3, 4, 5, 6; correct them, or name"):
        build_datalist(pairing, tmp_path, folds=2)
    names = [f"class {k}" for k in range(8)]
    report = build_datalist(pairing, tmp_path, folds=2, label_names=names, channels=["t1"])
    assert list(report.content["labels"].values()) == names
    assert report.content["channels"] == ["t1"]
