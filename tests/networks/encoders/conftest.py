# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from common import FIXTURES
from safetensors.torch import load_file


@pytest.fixture
def original() -> dict[str, torch.Tensor]:
    """An original DINOv2 state dict (tiny)."""
    content = load_file(FIXTURES / "golden" / "encoder_dinov2_chunked.safetensors")
    return {k[6:]: v for k, v in content.items() if k.startswith("state.")}
