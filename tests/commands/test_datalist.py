# SPDX-License-Identifier: Apache-2.0
"""The layouts that docs/how-to/datalists.md promises, from the command line to images that can be read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series
from nibabel import Nifti1Image, save
from PIL import Image
from synthetic import write_volume

from monai_dino.commands import main
from monai_dino.data import CheckLabeld, LoadCased, class_names, load_splits

NAMES = ["a", "b", "c", "d"]
LAYOUTS: dict[str, tuple[list[str], list[str], list[str], list[str]]] = {
    # name: options, files of each case, its images, its masks
    "folders": (
        ["--images", "images", "--masks", "labels"],
        ["images/{}.nii.gz", "labels/{}.nii.gz"],
        ["images/{}.nii.gz"],
        ["labels/{}.nii.gz"],
    ),
    "united masks": (
        ["--images", "images", "--masks", "masks"],
        ["images/{}.jpg", "masks/{}_mask.png", "masks/{}_mask_1.png"],
        ["images/{}.jpg"],
        ["masks/{}_mask.png", "masks/{}_mask_1.png"],
    ),
    "one folder": ([], ["{}.png", "{}_mask.png"], ["{}.png"], ["{}_mask.png"]),
    "mask suffix": (
        ["--mask-suffix", "_seg"],
        ["{}.nii.gz", "{}_seg.nii.gz"],
        ["{}.nii.gz"],
        ["{}_seg.nii.gz"],
    ),
    "channels": (
        ["--channels", "flair", "t2"],
        ["{}_flair.nii.gz", "{}_t2.nii.gz", "{}_mask.nii.gz"],
        ["{}_flair.nii.gz", "{}_t2.nii.gz"],
        ["{}_mask.nii.gz"],
    ),
    "nnU-Net": (
        ["--images", "imagesTr", "--masks", "labelsTr", "--channels", "0000"],
        ["imagesTr/{}_0000.nii.gz", "labelsTr/{}.nii.gz"],
        ["imagesTr/{}_0000.nii.gz"],
        ["labelsTr/{}.nii.gz"],
    ),
    "DICOM": (
        ["--images", "images", "--masks", "labels"],
        ["images/{}/", "labels/{}.nii.gz"],
        ["images/{}"],
        ["labels/{}.nii.gz"],
    ),
}
SHAPE = (6, 5, 3)
GRID = np.diag([-0.7, -0.9, 2.5, 1])  # that of the DICOM series


def write_image(path: Path, mask: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.zeros(SHAPE, "u1")
    voxels[1:3, 1:3, 1:] = 1
    if path.name.endswith(".nii.gz"):
        save(Nifti1Image(voxels if mask else voxels.astype("f4") * 7, GRID), path)
    else:
        Image.fromarray(voxels[:, :, 1].T * 255).save(path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_documented_layouts(layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, files, images, masks = LAYOUTS[layout]
    for name in NAMES:
        for file in files:
            if file.endswith("/"):
                write_series(tmp_path / file.format(name), np.zeros(SHAPE, "<i2"), PatientID=name)
            else:
                write_image(tmp_path / file.format(name), mask=file in masks)
    assert main(["datalist", str(tmp_path), "--folds", "2", *options]) == 0
    summary = capsys.readouterr().out
    assert "left out   0" in summary
    assert f"wrote      {tmp_path / 'datalist.json'}" in summary
    splits = load_splits("datalist.json", tmp_path, 0)
    assert (len(splits["training"]), len(splits["validation"]), len(splits["testing"])) == (2, 2, 0)
    cases = {item["case"][0]: item for item in [*splits["training"], *splits["validation"]]}
    assert sorted(cases) == NAMES
    for name, item in cases.items():
        for key, expected in (("image", images), ("label", masks)):
            paths = [str(tmp_path / e.format(name)) for e in expected]
            assert item[key] == (paths[0] if len(paths) == 1 else paths)
        read = CheckLabeld("label", "image", 2)(LoadCased(in_channels=len(images))(item))
        assert read["label"].sum() in (4, 8)
    assert class_names("datalist.json", tmp_path) == ["background", "label 1"]


def write_classes(root: Path) -> None:
    for k in range(8):
        write_image(root / ("ill" if k % 2 else "well") / f"p{k // 2}_{k}.png")


def test_documented_layout_of_class_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_classes(tmp_path)
    options = ["--classes", "folder", "--folds", "2", "--patient-pattern", r"(p\d+)_", "--test-share", "0.25"]
    assert main(["datalist", str(tmp_path), *options, "--seed", "3", "--modality", "us"]) == 0
    assert "cases      8 of 4 patients\nclasses    0 ill, 1 well\n" in capsys.readouterr().out
    splits = load_splits("datalist.json", tmp_path, 0)
    assert [len(items) for items in splits.values()] in ([2, 4, 2], [4, 2, 2])
    assert all(item["label"] == int("well" in item["image"]) for items in splits.values() for item in items)
    assert class_names("datalist.json", tmp_path) == ["ill", "well"]
    assert json.loads((tmp_path / "datalist.json").read_text())["modality"] == {"0": "us"}


def test_names_of_classes(tmp_path: Path) -> None:
    write_classes(tmp_path)
    options = ["--classes", "folder", "--folds", "2", "--label-names", "well", "ill"]
    assert main(["datalist", str(tmp_path), *options]) == 0
    assert class_names("datalist.json", tmp_path) == ["well", "ill"]


@pytest.mark.parametrize("inside", [True, False], ids=["with the data", "elsewhere"])
def test_documented_layout_of_a_table(inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_classes(tmp_path / "data")
    table = (tmp_path / "data" if inside else tmp_path) / "table.csv"
    names = sorted(p.relative_to(tmp_path / "data").as_posix() for p in (tmp_path / "data").rglob("*.png"))
    table.write_text("\n".join(["image,label,patient", *(f"{n},{n[:3]},{n[-8:-6]}" for n in names)]))
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "lists" / "own.json"
    assert main(["datalist", "data", "--classes", "table.csv", "--folds", "2", "--output", str(output)]) == 0
    assert class_names(output, "data") == ["ill", "wel"]
    splits = load_splits(output, "data", 1)
    assert (len(splits["training"]), len(splits["validation"])) == (4, 4)


def test_identifiers_are_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(4):
        write_series(tmp_path / "ill" / f"s{k}", np.zeros(SHAPE, "<i2"), PatientID=f"SECRET-{k // 2}")
    assert main(["datalist", str(tmp_path), "--classes", "folder", "--folds", "2"]) == 0
    text = (tmp_path / "datalist.json").read_text()
    assert "SECRET" not in text + capsys.readouterr().out
    assert len({item["patient"] for item in json.loads(text)["training"]}) == 2


def test_a_datalist_is_not_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_classes(tmp_path)
    command = ["datalist", str(tmp_path), "--classes", "folder", "--folds", "2"]
    assert main(command) == 0
    before = (tmp_path / "datalist.json").read_bytes()
    assert main([*command, "--seed", "5"]) == 1
    assert "datalist.json is there already" in capsys.readouterr().err
    assert (tmp_path / "datalist.json").read_bytes() == before
    assert main([*command, "--seed", "5", "--overwrite"]) == 0
    assert (tmp_path / "datalist.json").read_bytes() != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "gone"], "gone: there is no such folder"),
        (["--masks", "gone"], "gone: there is no such folder"),
        (["--classes", "gone.csv"], "gone.csv: cannot be read as CSV"),
        ([], "no image could be paired with a label (more0.png: no mask"),
        (["--classes", "folder", "--folds", "10"], "no class has the 10 cases that 10 folds need"),
        (["--classes", "folder", "--test-share", "0.9"], "test_share=0.9: expected a share from 0 to 0.5"),
    ],
)
def test_errors_are_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_classes(tmp_path)
    for k in range(5):
        write_image(tmp_path / "ill" / f"more{k}.png")
    assert main(["datalist", str(tmp_path), *options]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert not printed.out
    assert not (tmp_path / "datalist.json").exists()


def test_masks_and_classes_exclude_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["datalist", str(tmp_path), "--masks", "m", "--classes", "folder"])
    assert "not allowed with argument" in capsys.readouterr().err


@pytest.mark.parametrize("folds", [[], ["--folds", "2"]])
def test_images_without_labels(folds: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("images/a.nii.gz", "images/b.nii.gz", "images/b_mask.nii.gz", "images/b_mask_1.nii.gz"):
        write_volume(tmp_path / name, np.zeros((4, 4, 2), np.float32))
    assert main(["datalist", str(tmp_path), "--images", "images", "--unlabelled", *folds]) == 0
    splits = load_splits(tmp_path / "datalist.json", tmp_path, fold=None)
    assert [item["case"] for item in splits["training"]] == ["a", "b"]
    assert not any("label" in item for item in splits["training"])
    told = capsys.readouterr().out
    assert "images/b_mask_1.nii.gz: named like a mask (_mask)" in told
    assert ("2 cases in folds of 1 1" if folds else "2 cases without folds") in told
    assert all(("fold" in item) == bool(folds) for item in splits["training"])
    again = ["--images", "images", "--unlabelled", "--overwrite"]
    assert main(["datalist", str(tmp_path), *again, "--folds", "0"]) == 1
    assert "folds=0: expected at least 2" in capsys.readouterr().err
