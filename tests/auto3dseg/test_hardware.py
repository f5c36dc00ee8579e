# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os

import pytest
import torch

from monai_dino.auto3dseg.hardware import batch_size


@pytest.mark.parametrize(
    ("gigabytes", "image_size", "size"), [(64, 224, 16), (8, 224, 8), (8, 448, 2), (1, 448, 2), (16, 448, 4)]
)
def test_batch_fits_the_memory(gigabytes: int, image_size: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": gigabytes * 10**6}[name])
    assert batch_size(image_size) == size
