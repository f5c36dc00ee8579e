# SPDX-License-Identifier: Apache-2.0
"""What many tests import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent / "fixtures"

TINY: dict[str, dict[str, Any]] = {
    "vit": {"model_type": "vit", "intermediate_size": 64, "patch_size": 8, "image_size": 32},
    "dinov2": {"model_type": "dinov2", "mlp_ratio": 2, "patch_size": 14, "image_size": 56},
    "dinov2_swiglu": {"model_type": "dinov2", "use_swiglu_ffn": True, "patch_size": 14, "image_size": 56},
    "dinov2_with_registers": {
        "model_type": "dinov2_with_registers", "num_register_tokens": 2, "patch_size": 14, "image_size": 56,
    },
    "dinov3_vit": {"model_type": "dinov3_vit", "intermediate_size": 64, "num_register_tokens": 2, "patch_size": 16},
}  # fmt: skip
for fields in TINY.values():
    fields |= {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}

ORIGINAL_DINOV2: dict[str, Any] = {
    "model_type": "dinov2", "hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 3, "patch_size": 14,
}  # fmt: skip
"""Architecture of the tiny original DINOv2 of the fixtures."""
