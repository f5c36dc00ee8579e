# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from monai_dino import errors
from monai_dino.errors import MonaiDinoError

KINDS = [
    errors.CheckpointError,
    errors.ConfigurationError,
    errors.WeightsError,
    errors.NetworkError,
    errors.DatalistError,
    errors.InputError,
]


@pytest.mark.parametrize("kind", KINDS)
def test_are_built_in_errors_with_one_base(kind: type[Exception]) -> None:
    usual = {errors.NetworkError: ArithmeticError, errors.CheckpointError: OSError}.get(kind, ValueError)
    with pytest.raises(MonaiDinoError, match="why"):
        raise kind("why")
    with pytest.raises(usual, match="why"):
        raise kind("why")


def test_kinds_are_all_there() -> None:
    assert set(errors.__all__) == {kind.__name__ for kind in KINDS} | {"MonaiDinoError"}
