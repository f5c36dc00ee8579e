# SPDX-License-Identifier: Apache-2.0
"""What MR has and MONAI lacks: motion, and spikes as strong in any image. Other artefacts of MR are MONAI's own."""

from monai_dino.transforms.mr.ghosting import (
    RandMotionGhosting,
    RandMotionGhostingD,
    RandMotionGhostingd,
    RandMotionGhostingDict,
)
from monai_dino.transforms.mr.spikes import RandKSpaceSpike, RandKSpaceSpikeD, RandKSpaceSpiked, RandKSpaceSpikeDict

__all__ = [
    "RandKSpaceSpike",
    "RandKSpaceSpikeD",
    "RandKSpaceSpikeDict",
    "RandKSpaceSpiked",
    "RandMotionGhosting",
    "RandMotionGhostingD",
    "RandMotionGhostingDict",
    "RandMotionGhostingd",
]
