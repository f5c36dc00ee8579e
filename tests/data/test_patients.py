# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from monai_dino.data.pairing import Pairing
from monai_dino.data.patients import number_patients
from monai_dino.errors import DatalistError

PATHS = [["smith_1.nii"], ["jones_1.nii"], ["smith_2.nii"]]


def pairing(*patients: str | None) -> Pairing:
    return Pairing([[Path(p[0])] for p in PATHS], [[] for _ in PATHS], list(patients))


def test_identifiers_are_replaced_and_kept_together() -> None:
    for found in (number_patients(pairing("smith", "jones", "smith"), PATHS, None),
                  number_patients(pairing(None, None, None), PATHS, r"^(\w+)_")):  # fmt: skip
        assert found == (["p0000", "p0001", "p0000"], True)


def test_unknown_patients_are_one_each() -> None:
    assert number_patients(pairing(None, None, None), PATHS, None) == (["p0000", "p0001", "p0002"], False)
    assert number_patients(pairing("smith", None, "smith"), PATHS, None) == (["p0000", "p0001", "p0000"], False)


@pytest.mark.parametrize("pattern", ["smith", "(smith)", "(smith)|jones"])
def test_pattern_must_fit_every_case(pattern: str) -> None:
    with pytest.raises(DatalistError, match="no group of it fits"):
        number_patients(pairing(None, None, None), PATHS, pattern)
