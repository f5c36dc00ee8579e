# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from monai_dino.data.datalist_file import (
    channels,
    check_evaluation,
    class_names,
    find_datalist,
    fingerprint,
    modality,
)
from monai_dino.errors import DatalistError


def write(folder: Path, **content: Any) -> Path:
    (folder / "d.json").write_text(json.dumps(content))
    return folder / "d.json"


@pytest.mark.parametrize("count", [1, 2, 12])
def test_names_of_classes_in_their_order(count: int, tmp_path: Path) -> None:
    labels = {str(k): f"class {k}" for k in reversed(range(count))}
    assert class_names(write(tmp_path, labels=labels), tmp_path) == [f"class {k}" for k in range(count)]


@pytest.mark.parametrize("labels", [None, {}, [], ["a", "b"], {"1": "a"}, {"0": "a", "2": "b"}, {"a": 0}, "ab"])
def test_names_that_are_none(labels: Any, tmp_path: Path) -> None:
    path = write(tmp_path, **({} if labels is None else {"labels": labels}))
    with pytest.raises(DatalistError, match=r'd\.json: needs "labels" with the keys "0", "1", ... in a row'):
        class_names(path, tmp_path)


@pytest.mark.parametrize("names", [["background", "lesion", "lesion"], ["background", "mean"]])
def test_class_names_are_distinct(names: list[str], tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(json.dumps({"labels": {str(k): name for k, name in enumerate(names)}}))
    with pytest.raises(DatalistError, match="give each class a name of its own, none 'mean'"):
        class_names(tmp_path / "d.json", tmp_path)


def test_datalist_is_found_where_it_was_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, data = tmp_path / "here", tmp_path / "data"
    for folder in (here, data / "lists"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    (data / "moved.json").touch()
    (data / "lists" / "d.json").touch()
    assert find_datalist("lists/d.json", data) == data / "lists" / "d.json"
    assert find_datalist("/elsewhere/moved.json", data) == data / "moved.json"
    (here / "moved.json").touch()
    assert find_datalist("moved.json", data) == here / "moved.json"


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"0": "MRI"}, "mr"),
        ({"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}, "mr"),
        ({"0": "CT"}, "ct"),
        ("ultrasound", "us"),
        ({"0": "X-ray"}, "xray"),
        ("RGB", "rgb"),
    ],
)
def test_modality_under_its_usual_names(stated: Any, expected: str, tmp_path: Path) -> None:
    assert modality(write(tmp_path, modality=stated), tmp_path) == expected


@pytest.mark.parametrize("stated", [None, "", {}, {"0": ""}, {"0": "PET"}, {"0": "CT", "1": "MRI"}])
def test_modality_that_says_nothing(stated: Any, tmp_path: Path) -> None:
    with pytest.raises(DatalistError, match="give --modality ct, mr, us, xray or rgb"):
        modality(write(tmp_path, modality=stated), tmp_path)


def test_channels(tmp_path: Path) -> None:
    assert channels(write(tmp_path, channels=["flair", "t2"]), tmp_path) == ["flair", "t2"]
    assert channels(write(tmp_path), tmp_path) == []


def test_evaluation_is_of_what_training_did_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = str(write(tmp_path, labels={"0": "background", "1": "lesion"}))
    names = ["background", "lesion"]
    trained = {"class_names": names, "datalist": path, "fingerprint": fingerprint(path, tmp_path), "fold": 1}
    check_evaluation(trained, path, tmp_path, 0, "testing")
    check_evaluation(trained, path, tmp_path, 1, "validation")
    check_evaluation({"class_names": names, "datalist": path}, path, tmp_path, 0, "validation")  # of no training
    copy = shutil.copy(path, tmp_path / "copy.json")
    for name in (path, copy):
        with pytest.raises(DatalistError, match="fold=0: the network was trained on these cases; its validation fold"):
            check_evaluation(trained, name, tmp_path, 0, "validation")
    write(tmp_path, labels={"0": "background", "1": "lesion"}, training=[])
    for name in (path, "d.json"):  # however the same file is named
        with pytest.raises(DatalistError, match="was changed after the training"):
            check_evaluation(trained, name, tmp_path, 0, "testing")
    other = tmp_path / "other.json"
    (tmp_path / "d.json").rename(other)
    check_evaluation(trained, other, tmp_path, 0, "validation")


def test_evaluation_is_of_the_trained_classes(tmp_path: Path) -> None:
    path = write(tmp_path, labels={"0": "malignant", "1": "normal"})
    trained = {"class_names": ["benign", "malignant", "normal"], "datalist": "elsewhere"}
    with pytest.raises(DatalistError, match="number the classes alike"):
        check_evaluation(trained, path, tmp_path, 0, "testing")
