# SPDX-License-Identifier: Apache-2.0
"""What MR has and MONAI lacks: motion. Bias field, Gibbs ringing, Rician noise and spikes are MONAI's own."""

from monai_dino.transforms.mr.ghosting import (
    RandMotionGhosting,
    RandMotionGhostingD,
    RandMotionGhostingd,
    RandMotionGhostingDict,
)

__all__ = [
    "RandMotionGhosting",
    "RandMotionGhostingD",
    "RandMotionGhostingDict",
    "RandMotionGhostingd",
]
