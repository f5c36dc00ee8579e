# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series

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


def test_two_systems_of_identifiers_do_not_mix(tmp_path: Path) -> None:
    files = write_series(tmp_path, np.zeros((3, 4, 2), "<i2"), PatientID=["smith ", "jones"])
    both = [[str(file)] for file in files]
    made = Pairing([[file] for file in files], [[], []], ["smith", None])
    with pytest.raises(DatalistError, match="has one in its DICOM header; fill the column for all"):
        number_patients(made, both, None)
    assert number_patients(Pairing([[f] for f in files], [[], []], [None, None]), both, None) == (
        ["p0000", "p0001"],
        True,
    )
