# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from common import FIXTURES
from safetensors.torch import load_file


@pytest.fixture(scope="session")
def golden() -> dict[str, torch.Tensor]:
    """Inputs and results of the original code; do not change them."""
    return load_file(FIXTURES / "golden" / "losses.safetensors")
