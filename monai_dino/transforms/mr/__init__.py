# SPDX-License-Identifier: Apache-2.0
"""What MR has and MONAI lacks: motion, spikes as strong in any image, noise for batches. The rest is MONAI's own."""

from monai_dino.transforms.mr.ghosting import (
    RandMotionGhosting,
    RandMotionGhostingD,
    RandMotionGhostingd,
    RandMotionGhostingDict,
)
from monai_dino.transforms.mr.magnitude_noise import (
    RandMagnitudeNoise,
    RandMagnitudeNoiseD,
    RandMagnitudeNoised,
    RandMagnitudeNoiseDict,
)
from monai_dino.transforms.mr.spikes import RandKSpaceSpike, RandKSpaceSpikeD, RandKSpaceSpiked, RandKSpaceSpikeDict

__all__ = [
    "RandKSpaceSpike",
    "RandKSpaceSpikeD",
    "RandKSpaceSpikeDict",
    "RandKSpaceSpiked",
    "RandMagnitudeNoise",
    "RandMagnitudeNoiseD",
    "RandMagnitudeNoiseDict",
    "RandMagnitudeNoised",
    "RandMotionGhosting",
    "RandMotionGhostingD",
    "RandMotionGhostingDict",
    "RandMotionGhostingd",
]
