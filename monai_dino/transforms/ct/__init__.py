# SPDX-License-Identifier: Apache-2.0
"""What CT has and MONAI lacks: windows, dose, streaks."""

from monai_dino.transforms.ct.quantum_noise import (
    RandQuantumNoise,
    RandQuantumNoiseD,
    RandQuantumNoised,
    RandQuantumNoiseDict,
)
from monai_dino.transforms.ct.streaks import (
    RandStreaks,
    RandStreaksD,
    RandStreaksd,
    RandStreaksDict,
)
from monai_dino.transforms.ct.window import (
    RandCTWindow,
    RandCTWindowD,
    RandCTWindowd,
    RandCTWindowDict,
)

__all__ = [
    "RandCTWindow",
    "RandCTWindowD",
    "RandCTWindowDict",
    "RandCTWindowd",
    "RandQuantumNoise",
    "RandQuantumNoiseD",
    "RandQuantumNoiseDict",
    "RandQuantumNoised",
    "RandStreaks",
    "RandStreaksD",
    "RandStreaksDict",
    "RandStreaksd",
]
