# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_dino.data.naming import case_name, names_by_folder, unique_names

names = st.lists(st.lists(st.sampled_from(["a", "b", "a_2", "a_b", "."]), min_size=1, max_size=3).map("/".join))


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("a.nii.gz", "a"),
        ("x/y/a.b.png", "x/y/a.b"),
        (["x/a_flair.nii", "x/a_t2.nii"], "x/a_flair"),
        ("x/series", "x/series"),
    ],
)
def test_name_of_a_case(image: Any, name: str) -> None:
    assert case_name(image) == name


@given(names)
def test_unique_names_can_be_files(given_names: list[str]) -> None:
    found = unique_names(given_names)
    assert len(found) == len(given_names)
    assert len(set(found)) == len(found)
    assert all(name and "/" not in name for name in found)


@given(names)
def test_short_names_are_kept_where_they_differ(given_names: list[str]) -> None:
    last = [name.rstrip("/.").split("/")[-1] for name in given_names]
    if len(set(last)) == len(last) and all(last):
        assert unique_names(given_names) == last


def test_same_names_in_folders() -> None:
    assert unique_names(["p1/scan", "p2/scan", "p2/other"]) == ["p1_scan", "p2_scan", "p2_other"]
    assert unique_names(["../p1/scan", "/p2/scan"]) == ["p1_scan", "p2_scan"]
    assert unique_names(["a/b", "a_b", "b/b", "a_b"]) == ["a_b", "a_b_2", "b_b", "a_b_3"]


@given(st.lists(st.sampled_from(["a", "b", "a_2", "a_b"]), min_size=1, max_size=4))
def test_names_by_folder_are_those_that_are_given_there(parts: list[str]) -> None:
    found = names_by_folder("/".join(parts) + ".nii.gz")
    assert len(found) == len(parts)
    for depth, name in enumerate(reversed(found)):
        inside = "/".join(parts[depth:])
        assert unique_names([inside, f"another/{parts[-1]}"])[0] == name
        assert found[0] == unique_names([inside])[0]


def test_channels_are_no_part_of_the_name() -> None:
    assert names_by_folder(["d/a_t1_ce.nii", "d/a_t1.nii"], ["ce", "t1_ce", "t1"]) == ["a", "d_a"]
    assert names_by_folder("d/a_t1.nii") == ["a_t1", "d_a_t1"]
