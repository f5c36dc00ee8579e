# SPDX-License-Identifier: Apache-2.0
"""The projection head of self-distillation."""

from monai_dino.networks.heads.projection import ProjectionHead, load_original_head

__all__ = ["ProjectionHead", "load_original_head"]
