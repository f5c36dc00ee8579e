# SPDX-License-Identifier: Apache-2.0
"""Lower dose."""

from __future__ import annotations

import numpy as np

from monai_dino.errors import ConfigurationError
from monai_dino.transforms.functional.quantum_noise import quantum_noise
from monai_dino.transforms.parametric import Parameters, RandParametric, RandParametricd
from monai_dino.transforms.ranges import draw_seeds, log_uniform, value_range

__all__ = ["RandQuantumNoise", "RandQuantumNoiseD", "RandQuantumNoiseDict", "RandQuantumNoised"]


class RandQuantumNoise(RandParametric):
    """Adds to a CT in HU the quantum noise that a lower dose adds.

    Variance goes with the reciprocal of the dose, so the fraction d of the dose adds sigma^2 (1/d - 1). The noise has
    the spectrum of filtered back projection (Riederer, Pelc and Chesler 1978, Phys Med Biol 23:446). This is an
    approximation in the image: real noise also follows the attenuation along each ray, is stronger in the middle of the
    body, and is Poisson's where photons are few.

    Args:
        prob: probability that an image is changed.
        dose: range of the fraction of the dose, in (0, 1]; 1 adds nothing. Its logarithm is drawn evenly.
        full_dose_noise: sigma at the full dose in HU; 5 to 15 in an abdomen of 5 to 1 mm slices.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(
        self, prob: float = 0.5, dose: float | tuple[float, float] = (0.1, 1.0), full_dose_noise: float = 10.0
    ) -> None:
        super().__init__(prob)
        self.dose = value_range("dose", dose, least=1e-4)
        if self.dose[1] > 1:
            raise ConfigurationError(f"dose={dose}: expected fractions of the dose, at most 1")
        self.full_dose_noise = value_range("full_dose_noise", full_dose_noise, least=0.0)[0]

    def draw(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws doses.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``std`` of the added noise in HU, and ``seed``.
        """
        dose = log_uniform(rng, self.dose, n)
        return {"std": self.full_dose_noise * np.sqrt(1 / dose - 1), "seed": draw_seeds(rng, n)}

    function = staticmethod(quantum_noise)


class RandQuantumNoised(RandParametricd):
    """Dictionary form of :class:`RandQuantumNoise`."""

    transform_type = RandQuantumNoise


RandQuantumNoiseD = RandQuantumNoiseDict = RandQuantumNoised
