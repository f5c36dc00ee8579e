# SPDX-License-Identifier: Apache-2.0
"""Colours of heat maps."""

from __future__ import annotations

import numpy as np

__all__ = ["heat_colours", "heat_overlay"]

# Corners of matplotlib's "inferno" (BSD), evenly spaced: as light as the value is high, also in grey and to the
# colour-blind.
_CORNERS = np.array(
    [
        (0.001, 0.000, 0.014),
        (0.122, 0.047, 0.282),
        (0.335, 0.062, 0.429),
        (0.535, 0.135, 0.416),
        (0.735, 0.216, 0.330),
        (0.894, 0.350, 0.193),
        (0.978, 0.558, 0.035),
        (0.971, 0.794, 0.251),
        (0.988, 0.998, 0.645),
    ]
)


def heat_colours(heat: np.ndarray) -> np.ndarray:
    """Colours of a heat map, from black through red and orange to light yellow.

    Args:
        heat: in [0, 1], shape (H, W); what is beyond is clipped.

    Returns:
        In [0, 1], shape (H, W, 3).
    """
    places = np.linspace(0, 1, len(_CORNERS))
    return np.stack([np.interp(heat, places, corner) for corner in _CORNERS.T], axis=-1)


def heat_overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lays a heat map over a picture; where it is cold, the picture shows through.

    Args:
        image: in [0, 1], shape (H, W, 3).
        heat: in [0, 1], shape (H, W).

    Returns:
        In [0, 1], shape (H, W, 3).
    """
    share = (0.8 * heat.clip(0, 1) ** 1.5)[..., None]
    mixed: np.ndarray = (1 - share) * image + share * heat_colours(heat)
    return mixed
