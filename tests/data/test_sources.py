# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from monai_dino.data.sources import paths_of, source_files, stamp, unchanged
from monai_dino.files import file_digest


def described(files: list[Path]) -> list[dict[str, object]]:
    return [{**stamp(file), "sha256": file_digest(file)} for file in files]


def test_the_files_of_a_case(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    for name in (
        "series/b.dcm",
        "series/a.dcm",
        "series/.DS_Store",
        "x.mhd",
        "x.raw",
        "x.zraw",
        "xy.raw",
        "m.nii",
        "n.nii",
    ):
        (tmp_path / name).write_text(name)
    (tmp_path / "x.mhd").write_text("ElementDataFile = x.raw\n")
    item = {"image": [str(tmp_path / "series"), str(tmp_path / "x.mhd")], "label": str(tmp_path / "m.nii")}
    names = [str(f.relative_to(tmp_path)) for f in source_files(item)]
    assert names == ["series/a.dcm", "series/b.dcm", "x.mhd", "x.raw", "m.nii"]
    assert source_files({"image": str(tmp_path / "n.nii"), "label": 3}) == [tmp_path / "n.nii"]


def test_paths_are_absolute() -> None:
    assert paths_of("a/b.nii") == [Path.cwd() / "a" / "b.nii"]
    assert paths_of(["a", Path("/b")]) == [Path.cwd() / "a", Path("/b")]
    assert paths_of(None) == paths_of(1) == []


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert file_digest(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()


def test_a_change_that_sets_the_time_back_is_stamped(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    before, state = stamp(path), path.stat()
    assert stamp(path) == before
    path.write_bytes(b"abd")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_mtime_ns == state.st_mtime_ns
    assert stamp(path) != before


def test_what_counts_is_the_content(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text(file.name)
    known = described(files)
    os.utime(files[0])
    assert unchanged(known, files)
    assert not unchanged(known, files[:1])
    assert not unchanged(known, [*files, files[0]])
    assert not unchanged(known, files[::-1])
    files[1].write_text("c")
    assert not unchanged(known, files)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ElementDataFile = voxels_v1.raw", ["voxels_v1.raw"]),
        ("ElementDataFile = LOCAL", []),
        ("ElementDataFile = LIST\nb.raw\na.raw", ["b.raw", "a.raw"]),
        ("ElementDataFile = s%02d.raw 1 2 1", ["s01.raw", "s02.raw"]),
    ],
)
def test_a_metaimage_header_names_its_voxels(line: str, expected: list[str], tmp_path: Path) -> None:
    for name in ("voxels_v1.raw", "a.raw", "b.raw", "s01.raw", "s02.raw", "scan1.raw"):
        (tmp_path / name).touch()
    header = tmp_path / "scan[1].mhd"
    header.write_text(f"ObjectType = Image\n{line}\n")
    assert [f.name for f in source_files({"image": str(header)})] == ["scan[1].mhd", *expected]
