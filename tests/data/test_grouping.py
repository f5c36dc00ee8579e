# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

from monai_dino.data.grouping import group_channels, stem_in

ROOT = Path("data")


def test_stem() -> None:
    assert stem_in(ROOT, ROOT / "a" / "b.nii.gz") == "a/b"
    assert stem_in(ROOT, ROOT / "series.1") == "series.1"


def test_files_of_a_case_in_the_order_of_the_channels() -> None:
    paths = [ROOT / f"{case}_{end}.nii.gz" for case in ("x", "y") for end in ("t2", "flair")]
    left_out: dict[Path, str] = {}
    found = group_channels(paths, ROOT, ["flair", "t2"], left_out)
    assert found == {case: [ROOT / f"{case}_{end}.nii.gz" for end in ("flair", "t2")] for case in ("x", "y")}
    assert left_out == {}


def test_what_is_in_no_group_is_said() -> None:
    left_out: dict[Path, str] = {}
    lonely, other, twice = ROOT / "x_t2.nii", ROOT / "notes.nii", [ROOT / "y_t2.nii", ROOT / "y_t2.nii.gz"]
    found = group_channels([lonely, other, *twice, ROOT / "y_flair.nii"], ROOT, ["flair", "t2"], left_out)
    assert found == {"y": [ROOT / "y_flair.nii", twice[0]]}
    assert left_out == {
        lonely: "its case lacks the channels flair",
        other: "its name ends in none of _flair, _t2",
        twice[1]: "y_t2.nii has the same name",
    }


def test_without_channels_each_file_is_a_case() -> None:
    assert group_channels([ROOT / "a.png", ROOT / "b_t2.png"], ROOT, [], {}) == {
        "a": [ROOT / "a.png"], "b_t2": [ROOT / "b_t2.png"],
    }  # fmt: skip
