# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_files import write_series
from PIL import Image
from synthetic import write_balls, write_volume

from monai_dino.commands import main


def check(root: Path, *more: str) -> int:
    return main(["check", str(root / "datalist.json"), *more])


def test_good_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_balls(tmp_path)
    assert check(root) == 0
    out = capsys.readouterr().out
    assert f"0 errors, 0 warnings, 0 notes; wrote {root}/datalist_check.json" in out
    assert "cases        4 training, 2 testing" in out
    assert "ball in 6 cases" in out
    content = json.loads((root / "datalist_check.json").read_text())
    assert len(content["cases"]) == 6
    assert len(content["files"]) == 12


def test_every_bad_case_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_balls(tmp_path)
    images = root / "images"
    (images / "case0.nii.gz").unlink()
    (images / "case1.nii.gz").write_bytes((images / "case1.nii.gz").read_bytes()[:-7])
    write_volume(root / "labels" / "case2.nii.gz", np.full((24, 30, 6), 9, np.uint8))
    (images / "case5.nii.gz").write_bytes((images / "case3.nii.gz").read_bytes())  # a test case that is trained on
    assert check(root, "--output", str(tmp_path / "report.json")) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "4 errors" in out
    assert "unusable: images/case1.nii.gz: the gzip data" in out
    errors = [f for f in json.loads((tmp_path / "report.json").read_text())["findings"] if f["severity"] == "error"]
    assert {f["case"]: f["topic"] for f in errors} == {
        "case0": "missing", "case1": "unusable", "case2": "unusable", "case3": "twins",
    }  # fmt: skip


def test_no_classes_and_no_modality(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_balls(tmp_path)
    content = json.loads((root / "datalist.json").read_text())
    del content["labels"], content["modality"]
    (root / "datalist.json").write_text(json.dumps(content))
    assert check(root) == 1
    out = capsys.readouterr().out
    assert "modality: " in out
    assert "classes: " in out


def test_a_flipped_byte_shows_against_an_earlier_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In formats without checksums nothing else shows it."""
    volume = np.random.default_rng(0).integers(0, 200, (16, 16, 9), dtype=np.int16)
    nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "plain.nii")
    write_series(tmp_path / "series", volume.astype("<i2"), Modality="MR")
    Image.fromarray(volume[..., 0].astype(np.uint8)).save(tmp_path / "x.jpg")
    images = ["plain.nii", "series", "x.jpg"]
    training = [{"image": image, "label": k % 2, "patient": image} for k, image in enumerate(images)]
    content = {"modality": {"0": "MR"}, "labels": {"0": "no", "1": "yes"}, "training": training}
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    report = tmp_path / "first.json"
    assert check(tmp_path, "--output", str(report)) == 0
    assert check(tmp_path, "--against", str(report)) == 0
    for path in (tmp_path / "plain.nii", tmp_path / "series" / "004.dcm", tmp_path / "x.jpg"):
        whole = path.read_bytes()
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        capsys.readouterr()
        assert check(tmp_path, "--against", str(report), "--output", str(tmp_path / "second.json")) == 1
        findings = json.loads((tmp_path / "second.json").read_text())["findings"]
        changed = path.relative_to(tmp_path).as_posix()
        assert [f["what"] for f in findings if f["topic"] == "changed"] == [f"{changed}: its content was changed"]
        path.write_bytes(whole)
    moved = tmp_path.with_name("moved")
    shutil.copytree(tmp_path, moved)
    assert check(moved, "--against", str(report), "--output", str(moved / "second.json")) == 0
    findings = json.loads((moved / "second.json").read_text())["findings"]
    assert not {f["topic"] for f in findings} & {"changed", "new", "gone"}
    (tmp_path / "other.json").write_text("{}")
    assert check(tmp_path, "--against", str(tmp_path / "other.json")) == 1
    assert "other.json: holds no files; name a report of this command" in capsys.readouterr().err


def test_what_is_filled_in_training_may_be_filled_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_balls(tmp_path)
    path = root / "images" / "case1.nii.gz"
    image = nib.load(path)
    voxels = np.asarray(image.dataobj).astype(np.float32)
    voxels[3, 4, 5] = np.nan
    write_volume(path, voxels, image.affine)
    assert check(root) == 1
    assert check(root, "--fill", "0") == 0
    assert "1 of 4320 voxels are not finite" in " ".join(capsys.readouterr().out.split())
    assert check(root, "--fill", "nan") == 1
    assert "fill=nan: expected a finite value" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_still_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_balls(tmp_path)
    (tmp_path / "file").write_text("in the way")
    assert check(root, "--output", str(tmp_path / "file" / "x.json")) == 1
    captured = capsys.readouterr()
    assert "0 errors, 0 warnings, 0 notes" in captured.out
    assert "x.json: cannot be written (" in captured.err


def test_nothing_about_the_patient_is_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume = np.random.default_rng(0).integers(0, 200, (16, 16, 9)).astype("<i2")
    write_series(tmp_path / "series", volume, Modality="US", BurnedInAnnotation="YES", PatientName="Secret^Name")
    content = {"modality": {"0": "MR"}, "labels": {"0": "no"}, "training": [{"image": "series", "label": 0}]}
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    check(tmp_path)
    captured = capsys.readouterr()
    written = (tmp_path / "datalist_check.json").read_text()
    assert "burnt in" in captured.out
    assert "secret" not in (captured.out + captured.err + written).lower()
