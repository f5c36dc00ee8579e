# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_dino.data.formats import IMAGE_SUFFIXES, PICTURE_SUFFIXES, VOLUME_SUFFIXES, strip_suffix


@given(stem=st.text("ab.1", min_size=1, max_size=6).map(lambda s: s + "x"), suffix=st.sampled_from(IMAGE_SUFFIXES))
def test_suffix_goes_and_the_stem_stays(stem: str, suffix: str) -> None:
    assert strip_suffix(stem + suffix) == stem
    assert strip_suffix(stem + suffix.upper()) == stem


@pytest.mark.parametrize("name", ["1.2.840.113619", "IM0001", "notes.txt", "scan.nii.bak", "nii", ""])
def test_other_names_stay(name: str) -> None:
    assert strip_suffix(name) == name


def test_gz_goes_as_a_whole() -> None:
    assert strip_suffix("a.b.nii.gz") == "a.b"
    assert not set(VOLUME_SUFFIXES) & set(PICTURE_SUFFIXES)
