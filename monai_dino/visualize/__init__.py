# SPDX-License-Identifier: Apache-2.0
"""Pictures."""

from monai_dino.visualize.batch_sheet import batch_sheet
from monai_dino.visualize.overlay import mask_sheet, overlay
from monai_dino.visualize.view_sheet import view_sheet

__all__ = ["batch_sheet", "mask_sheet", "overlay", "view_sheet"]
