# SPDX-License-Identifier: Apache-2.0
"""Principal components of the patch features of several images together, as colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from monai_dino.errors import ConfigurationError, NetworkError
from monai_dino.visualize.components import principal_components

__all__ = ["PatchPca", "fit_patch_pca"]

_COLOURS = 3
_CLIPPED = 0.01  # share of the foreground beyond each end of a colour's range, else single patches would set it


@dataclass(frozen=True)
class PatchPca:
    """What turns patch features into colours, alike in all images.

    Attributes:
        centre: mean feature of all patches, shape (D,).
        direction: first component of all patches, pointing away from the background, shape (D,).
        threshold: score along it above which a patch is foreground; minus infinity where the background stays.
        colour_centre: mean feature of the foreground, shape (D,).
        colour_directions: its first three components, shape (3, D).
        low: score of each that is black, shape (3,).
        high: score of each that is full colour, shape (3,).
    """

    centre: torch.Tensor
    direction: torch.Tensor
    threshold: float
    colour_centre: torch.Tensor
    colour_directions: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    def foreground(self, features: torch.Tensor) -> torch.Tensor:
        """Which patches are foreground.

        Args:
            features: maps of patch tokens, shape (B, D, h, w).

        Returns:
            Boolean, shape (B, h, w).
        """
        return _scores(features, self.centre, self.direction[None])[:, 0] > self.threshold

    def colours(self, features: torch.Tensor) -> torch.Tensor:
        """The first three components of the foreground as red, green and blue.

        Args:
            features: maps of patch tokens, shape (B, D, h, w).

        Returns:
            In [0, 1], shape (B, 3, h, w); the background is 0.
        """
        low, spread = self.low, torch.where(self.high > self.low, self.high - self.low, 1.0)
        low, spread = (part.to(features.device, torch.float32).view(1, -1, 1, 1) for part in (low, spread))
        scores = _scores(features, self.colour_centre, self.colour_directions)
        return ((scores - low) / spread).clamp(0, 1) * self.foreground(features)[:, None]


def fit_patch_pca(features: Sequence[torch.Tensor], remove_background: bool = True) -> PatchPca:
    """Fits principal components to the patches of several images together (radiology benchmarks, Fig. 1).

    As in DINOv2 (Oquab et al., 2023, section 7.5) the first component of all patches tells foreground from background,
    and three components of the foreground alone are the colours. The first component points away from the border:
    patches at the border of the images have a lower mean score than those inside. The threshold is Otsu's on the
    scores of all patches. Colours are scaled from the 1st to the 99th percentile of the foreground of all images
    together, per component.

    Args:
        features: maps of patch tokens, shape (D, h, w) each, of any grid.
        remove_background: whether to remove it; images without any, such as ultrasound cut to its sector, are split
            all the same.

    Returns:
        The components.

    Raises:
        ConfigurationError: for no maps, or maps of another shape or of different widths.
        NetworkError: for features that are not finite.
    """
    if not features or any(f.ndim != 3 or f.shape[0] != features[0].shape[0] or f.numel() == 0 for f in features):
        raise ConfigurationError(
            f"features: expected maps (D, h, w) of one width D, got {[tuple(f.shape) for f in features][:4]}"
        )
    maps = [f.detach().double().cpu() for f in features]
    samples = torch.cat([m.flatten(1).T for m in maps])
    if not bool(torch.isfinite(samples).all()):
        raise NetworkError("features: some are not finite; check the weights, or set precision to fp32")
    if samples.shape[1] < _COLOURS:
        raise ConfigurationError(f"features: expected at least {_COLOURS} per patch, got {samples.shape[1]}")
    centre, (direction,) = principal_components(samples, 1)
    threshold, chosen = float("-inf"), samples
    if remove_background:
        scores = (samples - centre) @ direction
        border = torch.cat([_border(m.shape[1], m.shape[2]).flatten() for m in maps])
        if _border_is_high(scores, border):
            direction, scores = -direction, -scores
        threshold = _otsu(scores)
        chosen = samples[scores > threshold]
    if len(chosen) == 0:  # all features are the same: nothing is foreground
        chosen = samples
    colour_centre, directions = principal_components(chosen, _COLOURS)
    ends = torch.tensor([_CLIPPED, 1 - _CLIPPED], dtype=torch.float64)
    low, high = _quantiles((chosen - colour_centre) @ directions.T, ends)
    return PatchPca(centre, direction, threshold, colour_centre, directions, low, high)


def _scores(features: torch.Tensor, centre: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    centre, directions = (part.to(features.device, torch.float32) for part in (centre, directions))
    return torch.einsum("bdhw,kd->bkhw", features.float() - centre.view(1, -1, 1, 1), directions)


def _border(height: int, width: int) -> torch.Tensor:
    border = torch.ones(height, width, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    return border


def _border_is_high(scores: torch.Tensor, border: torch.Tensor) -> bool:
    return bool(border.any() and (~border).any() and scores[border].mean() > scores[~border].mean())


def _otsu(scores: torch.Tensor) -> float:
    """Otsu's threshold between two of the scores, not on a histogram, whose bins would cut into a tight background."""
    ordered = scores.sort().values
    below = torch.arange(1, len(ordered), dtype=torch.float64)
    above, total = len(ordered) - below, ordered.cumsum(dim=0)
    spread = below * above * (total[:-1] / below - (total[-1] - total[:-1]) / above) ** 2
    best = int(spread.argmax()) if len(spread) else 0
    return float(ordered[best : best + 2].mean())


def _quantiles(values: torch.Tensor, ends: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    import numpy as np

    low, high = np.quantile(values.numpy(), ends.numpy(), axis=0)  # torch's has a limit of 16 million values
    return torch.from_numpy(low), torch.from_numpy(high)
