# SPDX-License-Identifier: Apache-2.0
"""Pictures."""

from monai_dino.visualize.overlay import mask_sheet, overlay

__all__ = ["mask_sheet", "overlay"]
