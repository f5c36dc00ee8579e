# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import list_data_collate

from monai_dino.data.datalist import load_splits, select_cases
from monai_dino.errors import DatalistError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a datalist with empty files for what it names."""

    def write_content(content: Any, files: bool = True) -> Path:
        path = tmp_path / "datalist.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        for items in content.values() if files else []:
            for item in items if isinstance(items, list) else []:
                item = {"image": item} if isinstance(item, str) else item
                for value in (item["image"], item.get("label", [])):
                    for name in [value] if isinstance(value, str) else value if isinstance(value, list) else []:
                        (tmp_path / name).touch()
        return path

    return write_content


def cases(names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"image": f"{name}.nii", **more} for name in names]


def names_of(splits: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    return {part: "".join(item["case"] for item in items) for part, items in splits.items()}


FOLDS = {"training": [*cases("ab", fold=0), *cases("cd", fold=1), *cases("e", fold=2)], "testing": cases("xy")}


@pytest.mark.parametrize(
    ("fold", "expected"),
    [
        (0, {"training": "cde", "validation": "ab", "testing": "xy"}),
        (2, {"training": "abcd", "validation": "e", "testing": "xy"}),
        (None, {"training": "abcde", "validation": "", "testing": "xy"}),
    ],
)
def test_a_fold_is_held_out(fold: int | None, expected: dict[str, str], write: Write, tmp_path: Path) -> None:
    assert names_of(load_splits(write(FOLDS), tmp_path, fold)) == expected


@pytest.mark.parametrize("fold", [0, 7, None])
def test_a_validation_list_counts_before_folds(fold: int | None, write: Write, tmp_path: Path) -> None:
    splits = load_splits(write(FOLDS | {"validation": cases("v")}), tmp_path, fold)
    assert names_of(splits) == {"training": "abcde", "validation": "v", "testing": "xy"}


def test_lists_of_the_decathlon(write: Write, tmp_path: Path) -> None:
    path = write({"training": cases("ab", label="m.nii"), "test": ["x.nii", "y.nii"]})
    splits = load_splits(path, tmp_path, None)
    assert names_of(splits) == {"training": "ab", "validation": "", "testing": "xy"}
    assert "label" not in splits["testing"][0]


@settings(deadline=None, max_examples=25)
@given(folds=st.lists(st.integers(0, 3), min_size=1, max_size=12), testing=st.integers(0, 3))
def test_every_case_is_in_one_part(folds: list[int], testing: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("data")
    training = [{"image": f"{i}.nii", "fold": fold} for i, fold in enumerate(folds)]
    content = {"training": training, "testing": [f"t{i}.nii" for i in range(testing)]}
    for item in [*training, *({"image": name} for name in content["testing"])]:
        (root / str(item["image"])).touch()
    (root / "datalist.json").write_text(json.dumps(content))
    for fold in set(folds):
        splits = load_splits("datalist.json", root, fold)
        found = [Path(item["image"]).name for items in splits.values() for item in items]
        assert sorted(found) == sorted(
            [*(f"{i}.nii" for i in range(len(folds))), *(f"t{i}.nii" for i in range(testing))]
        )
        assert {item["fold"] for item in splits["validation"]} == {fold}
        assert fold not in {item["fold"] for item in splits["training"]}


def test_paths_become_absolute_and_all_else_stays(write: Write, tmp_path: Path) -> None:
    training = [
        {"image": ["a1.nii", "a2.nii"], "label": ["m1.nii", "m2.nii"], "fold": 1, "patient": "p1", "note": "n"},
        {"image": str(tmp_path / "b.nii"), "label": 3, "fold": 1, "note": "o"},
    ]
    a, b = load_splits(write({"training": training}), tmp_path, None)["training"]
    assert a["image"] == [str(tmp_path / "a1.nii"), str(tmp_path / "a2.nii")]
    assert a["label"] == [str(tmp_path / "m1.nii"), str(tmp_path / "m2.nii")]
    assert (a["patient"], a["note"], a["case"]) == ("p1", "n", "a1")
    assert (b["image"], b["label"], b["case"]) == (str(tmp_path / "b.nii"), 3, "b")


def test_cases_that_differ_in_further_fields_can_be_batched(write: Write, tmp_path: Path) -> None:
    different = [{"age": 40, "sex": None, "patient": 7, "site": "x"}, {"sex": "f", "patient": "p2", "site": "y"}]
    training = [{"image": f"{i}.nii", "label": 1, **more} for i, more in enumerate(different)]
    found = load_splits(write({"training": training}), tmp_path, None)["training"]
    batch = list_data_collate(found)
    assert set(batch) == {"image", "label", "case", "patient", "site"}
    assert (batch["patient"], batch["site"]) == (["7", "p2"], ["x", "y"])


def test_the_datalist_is_looked_for_here_then_with_the_data(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(FOLDS)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert names_of(load_splits("datalist.json", tmp_path, 0))["validation"] == "ab"
    Path("datalist.json").write_text(json.dumps({"training": cases("cd", fold=0)}))
    assert names_of(load_splits("datalist.json", tmp_path, 0))["validation"] == "cd"
    with pytest.raises(DatalistError, match=rf"there is no file other\.json, neither here nor in {tmp_path}; make one"):
        load_splits("other.json", tmp_path)


def test_folds_that_are_not_there(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DatalistError, match=r"datalist\.json: fold=5, but its training cases have folds \[0, 1, 2\]"):
        load_splits(write(FOLDS), tmp_path, 5)
    with pytest.raises(DatalistError, match=r"datalist\.json: fold=0, but its training cases have no folds; make them"):
        load_splits(write({"training": cases("ab")}), tmp_path, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("", "not valid JSON"),
        ("[1, 2]", "expected a JSON object, found list; a datalist is"),
        ('{"training": {"image": "a.nii"}}', "training is dict, expected a list"),
        ('{"training": "a.nii"}', "training is str, expected a list"),
        ('{"training": [{"label": 1}]}', r"training\[0\] has no image: {'label': 1}"),
        ('{"training": ["a.nii", {"image": ""}]}', r"training\[1\] has no image"),
        ('{"training": [{"image": 5}]}', r"training\[0\] has no image"),
        ('{"training": [{"image": []}]}', r"training\[0\] has no image"),
        ('{"training": [{"image": ["a.nii", 2]}]}', r"training\[0\] has no image"),
        ('{"training": [5]}', r"training\[0\] has no image: 5"),
        ('{"training": [], "testing": [null]}', r"testing\[0\] has no image: None"),
        ('{"training": [], "validation": [[]]}', r"validation\[0\] has no image"),
        ('{"training": [{"image": "a.nii", "label": {"x": 1}}]}', r"training\[0\] has a label that is no path"),
        ('{"training": [{"image": "a.nii", "label": [0.5, "b.nii"]}]}', r"training\[0\] has a label that is no path"),
        ('{"training": [{"image": "a.nii", "label": ""}]}', r"training\[0\] has a label that is no path"),
        ('{"training": [{"image": "a.nii", "fold": "1"}]}', r"training\[0\] has a fold that is no whole number: '1'"),
        ('{"training": [{"image": "a.nii", "fold": [0]}]}', r"training\[0\] has a fold that is no whole number"),
    ],
)
def test_malformed_datalists_are_named(content: str, message: str, write: Write, tmp_path: Path) -> None:
    with pytest.raises(DatalistError, match=rf"datalist\.json: {message}"):
        load_splits(write(content, files=False), tmp_path, None)


def test_datalist_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "datalist.json").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(DatalistError, match=r"datalist\.json: not valid JSON"):
        load_splits("datalist.json", tmp_path)


@pytest.mark.parametrize("count", [1, 10, 13])
def test_missing_files_are_all_named(count: int, write: Write, tmp_path: Path) -> None:
    write({"training": cases("ab")})
    missing = [{"image": f"gone{i:02d}.nii", "label": "a.nii"} for i in range(count - 1)]
    missing.append({"image": ["a.nii", "b.nii"], "label": ["a.nii", "no_mask.nii"]})
    path = write({"training": cases("ab"), "testing": missing}, files=False)
    with pytest.raises(DatalistError) as error:
        load_splits(path, tmp_path, None)
    first, *lines = str(error.value).splitlines()
    assert first == f"{path}: names {count} files that are not there:"
    expected = [*(f"  {tmp_path}/gone{i:02d}.nii" for i in range(count - 1)), f"  {tmp_path}/no_mask.nii"]
    assert lines == (expected if count <= 10 else [*expected[:10], f"  and {count - 10} more"])


@pytest.mark.parametrize("part", ["testing", "validation"])
def test_a_patient_in_two_parts_is_refused(part: str, write: Write, tmp_path: Path) -> None:
    content = {"training": cases("ab", patient="p1"), part: cases("x", patient="p1")}
    with pytest.raises(
        DatalistError, match=rf"datalist\.json: patient p1 is in training and in {part}; a patient must"
    ):
        load_splits(write(content), tmp_path, None)


def test_an_image_in_two_parts_is_refused(write: Write, tmp_path: Path) -> None:
    content = {"training": cases("ab"), "testing": cases("xb", patient="p1")}
    with pytest.raises(DatalistError, match=r"datalist\.json: image b\.nii is in training and in testing"):
        load_splits(write(content), tmp_path, None)


def test_a_patient_in_two_folds_is_refused(write: Write, tmp_path: Path) -> None:
    content = {"training": [*cases("a", patient=7, fold=0), *cases("b", patient="7", fold=1), *cases("c", fold=1)]}
    with pytest.raises(DatalistError, match="patient 7 is in training and in validation"):
        load_splits(write(content), tmp_path, 0)
    assert len(load_splits(write(content), tmp_path, None)["training"]) == 3


def test_cases_are_named_apart(write: Write, tmp_path: Path) -> None:
    for folder in ("p1", "p2"):
        (tmp_path / folder).mkdir()
    content = {"training": [{"image": "p1/scan.nii"}], "testing": [{"image": "p2/scan.nii"}]}
    assert names_of(load_splits(write(content), tmp_path, None)) == {
        "training": "p1_scan", "validation": "", "testing": "p2_scan",
    }  # fmt: skip


def test_parts_are_taken_by_name() -> None:
    splits: dict[str, Any] = {"training": [{"image": "a"}], "validation": [], "testing": [{"image": "b"}]}
    assert select_cases(splits, "testing") == [{"image": "b"}]
    with pytest.raises(DatalistError, match="unknown part 'test', expected one of training, validation, testing"):
        select_cases(splits, "test")
    with pytest.raises(DatalistError, match="the datalist has no validation cases; choose another part"):
        select_cases(splits, "validation")


def test_cases_without_the_label_that_is_needed() -> None:
    labels = ("a.nii", None, 1, ["a.nii"], [0, 1])
    items: Any = [{"case": f"c{i}", "label": label} for i, label in enumerate(labels)] + [{"case": "c5"}]
    splits = {"testing": items}
    assert select_cases(splits, "testing") == items
    message = r"4 of 6 testing cases have no mask: c1 \(label: None\), c2 \(label: 1\), c4 \(.*\), c5 .*; add it to"
    with pytest.raises(DatalistError, match=message):
        select_cases(splits, "testing", labelled="mask")
    with pytest.raises(DatalistError, match=r"4 of 6 testing cases have no class: c0 \(label: 'a.nii'\), c1 "):
        select_cases(splits, "testing", labelled="class")
    assert select_cases({"testing": [items[0], items[3]]}, "testing", labelled="mask") == [items[0], items[3]]
