# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from monai_dino.errors import DatalistError, WeightsError
from monai_dino.files import read_json_object, write_csv, write_json, written_whole


def test_what_fails_leaves_the_previous_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    with written_whole(path) as partial:
        partial.write_text("whole")
    with pytest.raises(TypeError), written_whole(path) as partial:
        partial.write_bytes("half")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_nothing_is_under_the_name_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "case.nii.gz"
    with written_whole(path) as partial:
        partial.write_bytes(b"half")
        assert not path.exists()
        assert partial.parent == path.parent
        assert partial.suffixes == path.suffixes
    assert path.read_bytes() == b"half"


def test_json_comes_back(tmp_path: Path) -> None:
    content = {"a": [1, 2.5, None], "ü": {"b": True}}
    write_json(tmp_path / "x.json", content)
    assert read_json_object(tmp_path / "x.json", DatalistError, "do this") == content
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert read_json_object(tmp_path / "x.json", DatalistError, "do this") == content


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "not valid JSON"),
        ("[1]", "expected a JSON object, found list"),
        (None, "cannot be read"),
        ("\xff", "JSON"),
    ],
)
def test_what_is_no_object_is_named(text: str | None, found: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match=rf"x\.json: .*{found}.*; copy it again"):
        read_json_object(path, WeightsError, "copy it again")


def test_rows_may_lack_columns(tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", [{"epoch": 1}, {"epoch": 2, "dice": 0.5}])
    with (tmp_path / "x.csv").open(newline="") as stream:
        assert list(csv.DictReader(stream)) == [{"epoch": "1", "dice": ""}, {"epoch": "2", "dice": "0.5"}]
    write_csv(tmp_path / "none.csv", [])
    assert json.dumps((tmp_path / "none.csv").read_text().strip()) == '""'
