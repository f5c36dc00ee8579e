# SPDX-License-Identifier: Apache-2.0
"""The losses of DINO, DINOv2 and DINOv3, the same on one process and on several."""

from monai_dino.losses.dino import DinoLoss
from monai_dino.losses.gram import GramLoss
from monai_dino.losses.ibot import IBotPatchLoss
from monai_dino.losses.koleo import KoLeoLoss

__all__ = ["DinoLoss", "GramLoss", "IBotPatchLoss", "KoLeoLoss"]
