# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch

from monai_dino.networks.misfits import misfits


def test_names_every_tensor_that_does_not_fit() -> None:
    wanted = {"a": torch.zeros(2), "b": torch.zeros(3), "c": torch.zeros(1, 4)}
    assert misfits(wanted, wanted) == []
    assert misfits({"a": torch.zeros(2), "c": (4, 1), "d": torch.zeros(1)}, wanted) == [
        "missing: b",
        "unexpected: d",
        "c: found (4, 1), wanted (1, 4)",
    ]
    assert misfits(wanted | {"a": 3}, wanted) == ["a: found int, wanted (2,)"]
