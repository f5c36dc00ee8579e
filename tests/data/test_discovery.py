# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import write_series

from monai_dino.data.discovery import find_cases, find_images
from monai_dino.errors import DatalistError

VOXELS = np.zeros((5, 7, 3), "<i2")


def touch(root: Path, *names: str) -> list[Path]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return [root / name for name in names]


def test_images_are_found_by_suffix(tmp_path: Path) -> None:
    expected = touch(tmp_path, "a.nii.gz", "b/c/d.PNG", "b/e.npy", "f.mha", "g.tiff", "h.jpeg")
    touch(tmp_path, "notes.txt", "b/table.csv", "README", ".hidden.nii", ".cache/x.nii", "._a.nii.gz", "DICOMDIR")
    found = find_images(tmp_path)
    assert found.images == sorted(expected)
    assert not found.left_out


def test_a_folder_of_one_series_is_one_image(tmp_path: Path) -> None:
    write_series(tmp_path / "one", VOXELS)
    write_series(tmp_path / "no_suffix", VOXELS, names=["IM1", "IM2", "IM3"])
    touch(tmp_path, "one/._000.dcm")
    (single,) = write_series(tmp_path / "single", VOXELS[..., :1])
    assert find_images(tmp_path).images == sorted([tmp_path / "one", tmp_path / "no_suffix", single])
    assert find_images(tmp_path / "one").images == [tmp_path / "one"]


def test_files_that_are_series_of_their_own_are_images(tmp_path: Path) -> None:
    uids: Any = ["1.1", "1.2", "1.3"]
    files = write_series(tmp_path, VOXELS, SeriesInstanceUID=uids)
    assert find_images(tmp_path).images == files


def test_mixed_series_are_left_out(tmp_path: Path) -> None:
    uids: Any = ["1.1", "1.2", "1.2"]
    write_series(tmp_path / "mixed", VOXELS, SeriesInstanceUID=uids)
    (picture,) = touch(tmp_path, "mixed/a.png")
    found = find_images(tmp_path)
    assert found.images == [picture]
    assert found.left_out == {tmp_path / "mixed": "holds 2 DICOM series; put each into a folder of its own"}


def test_broken_dicom_is_left_out_with_its_name(tmp_path: Path) -> None:
    write_series(tmp_path / "broken", VOXELS)
    touch(tmp_path, "broken/zero.dcm")
    (why,) = find_images(tmp_path).left_out.values()
    assert "zero.dcm: not a readable DICOM file" in why


def test_links_are_followed_once(tmp_path: Path) -> None:
    (image,) = touch(tmp_path, "data/a.png")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data", target_is_directory=True)
    assert find_images(tmp_path / "data").images == [image]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link").symlink_to(tmp_path / "data", target_is_directory=True)
    assert find_images(tmp_path / "elsewhere").images == [tmp_path / "elsewhere/link/a.png"]


def test_cases_have_names_of_their_own(tmp_path: Path) -> None:
    a, b = touch(tmp_path, "p1/scan.nii", "p2/scan.nii")
    assert find_cases(tmp_path) == [{"image": str(a), "case": "p1_scan"}, {"image": str(b), "case": "p2_scan"}]
    assert find_cases(tmp_path / "p1") == [{"image": str(a), "case": "scan"}]
    assert find_cases(a) == [{"image": str(a), "case": "scan"}]


def test_a_series_is_named_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "head", VOXELS)
    assert find_cases(tmp_path) == [{"image": str(tmp_path / "head"), "case": "head"}]
    assert find_cases(tmp_path / "head") == [{"image": str(tmp_path / "head"), "case": "head"}]
    monkeypatch.chdir(tmp_path / "head")
    assert find_cases(".") == [{"image": ".", "case": "head"}]


def test_no_case_is_left_out_silently(tmp_path: Path) -> None:
    with pytest.raises(DatalistError, match="nothing: there is no such folder"):
        find_cases(tmp_path / "nothing")
    with pytest.raises(DatalistError, match="no images here; known are DICOM series and"):
        find_cases(tmp_path)
    uids: Any = ["1.1", "1.2", "1.2"]
    write_series(tmp_path / "mixed", VOXELS, SeriesInstanceUID=uids)
    touch(tmp_path, "a.png")
    with pytest.raises(DatalistError, match=r"not every image can be taken:\n.*mixed: holds 2 DICOM series"):
        find_cases(tmp_path)


def test_files_of_a_case_are_its_channels(tmp_path: Path) -> None:
    for name in ("b_t2", "b_flair", "a_t2", "a_flair"):
        (tmp_path / f"{name}.nii").touch()
    assert find_cases(tmp_path, ["flair", "t2"]) == [
        {"image": [str(tmp_path / f"{case}_{end}.nii") for end in ("flair", "t2")], "case": case} for case in "ab"
    ]
    (tmp_path / "a_t2.nii").unlink()
    with pytest.raises(DatalistError, match=r"a_flair\.nii: its case lacks the channels t2"):
        find_cases(tmp_path, ["flair", "t2"])
