# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monai_dino.data.checks import check_affine, check_class, check_classes, check_dtype
from monai_dino.errors import InputError


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (np.eye(3), "not finite"),
        (np.diag([1, np.nan, 1, 1]), "not finite"),
        (np.diag([1.0, 0, 1, 1]), "singular"),
        (np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "singular"),
    ],
)
def test_affines_that_place_no_voxel(affine: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=rf"x\.nii: its affine .*{words}"):
        check_affine("x.nii", affine)
    tiny = np.diag([1e-4, 1e-4, 1e-4, 1])  # micrometres are small, not singular
    assert np.array_equal(check_affine("x.nii", tiny), tiny)


@pytest.mark.parametrize("dtype", ["c8", "U3", [("r", "u1"), ("g", "u1"), ("b", "u1")], "O"])
def test_voxels_are_numbers(dtype: Any) -> None:
    with pytest.raises(InputError, match=r"x\.nii: voxels of type .*, expected integers or real numbers"):
        check_dtype("x.nii", np.dtype(dtype))


def test_classes() -> None:
    check_classes([0, 2], 3, "m")
    check_class(2, 3, "case")
    with pytest.raises(InputError, match=r"m: holds label values \[-1, 3\], but the declared classes are 0 to 2"):
        check_classes([3, 0, -1], 3, "m")
    with pytest.raises(InputError, match=r"\[5, 6, .*, 14\] and 6 more, but"):
        check_classes(range(5, 21), 5, "m")
    for value in (3, -1, 1.0, True, None, "1"):
        with pytest.raises(InputError, match=r"case: label is .*, but the declared classes are 0 to 2"):
            check_class(value, 3, "case")
