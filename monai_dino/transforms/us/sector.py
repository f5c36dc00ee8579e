# SPDX-License-Identifier: Apache-2.0
"""The part of a B-mode frame that was insonified."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import convert_to_numpy
from scipy.ndimage import binary_closing, binary_fill_holes, label
from skimage.morphology import convex_hull_image

from monai_dino.errors import ConfigurationError, InputError

__all__ = ["Sector", "SectorMask", "SectorMaskD", "SectorMaskDict", "SectorMaskd", "find_sector"]

_DARK = 0.015  # of the brightest: JPEG leaves a few grey values in what was black
_UPRIGHT = 4.0  # degrees: edges of a linear probe's field are upright


@dataclass(frozen=True)
class Sector:
    """The insonified part of a frame.

    Args:
        kind: ``fan`` of a curved or phased array, or ``rectangle`` of a linear probe.
        mask: bool, shape (H, W).
        apex: row and column where the edges of a fan meet, in pixels, which may lie above the frame; ``None`` for a
            rectangle.
        angles: of the left and the right edge against the downward axis in degrees, left below 0.
        radii: of a fan's near and far end, in pixels from the apex; of a rectangle its first and last row.
    """

    kind: Literal["fan", "rectangle"]
    mask: np.ndarray
    apex: tuple[float, float] | None
    angles: tuple[float, float]
    radii: tuple[float, float]

    @property
    def area_fraction(self) -> float:
        """Share of the frame's pixels that lie in the sector."""
        return float(self.mask.mean())


def find_sector(image: NdarrayOrTensor, cine: bool = False) -> Sector:
    """Finds the insonified part of a frame by its black surround.

    The largest connected part that is not black, without gaps of up to a hundredth of the frame, is the sector, with
    what touches it; text and scales that stand apart are left out. Its convex hull closes dark regions, such as shadows
    at the border; a far field that is black from side to side cannot be told from the surround. Straight lines are
    fitted to the hull's left and right edge: where they are upright the sector is a rectangle, else they meet in the
    apex of a fan.

    Args:
        image: B-mode frame, any grey range from 0 for black, shape (H, W) or (C, H, W), whose channels are averaged.
        cine: whether the first axis is frames instead: then only what changes over them counts, so that bars and text
            that touch the sector are left out too.

    Returns:
        The sector. Of a frame without black surround it is the whole frame.

    Raises:
        InputError: when the frame is empty, black, or not 2-D.
    """
    frame = np.asarray(convert_to_numpy(image), dtype=np.float32)
    if frame.ndim == 3 and frame.size:
        frame = np.ptp(frame, axis=0) if cine else frame.mean(axis=0)
    if frame.ndim != 2 or frame.size == 0:
        raise InputError(f"find_sector: expected a frame (H, W) or (C, H, W), got shape {np.shape(image)}")
    top = float(np.percentile(frame, 99.5))
    if not np.isfinite(top) or top <= 0:
        raise InputError("find_sector: the frame is black or not finite; there is no sector in it")
    hull = _hull(frame > (2 if cine else 1) * _DARK * top)  # what JPEG left differs from frame to frame
    rows = np.flatnonzero(hull.any(axis=1))
    left, right = hull.argmax(axis=1)[rows], hull.shape[1] - 1 - hull[:, ::-1].argmax(axis=1)[rows]
    edges = [_edge(rows, columns, outward) for columns, outward in ((left, -1), (right, 1))]
    angles = (float(np.degrees(np.arctan(edges[0][0]))), float(np.degrees(np.arctan(edges[1][0]))))
    if angles[1] - angles[0] < 2 * _UPRIGHT:
        return Sector("rectangle", hull, None, (0.0, 0.0), (float(rows[0]), float(rows[-1])))
    row = (edges[0][1] - edges[1][1]) / (edges[1][0] - edges[0][0])
    apex = (float(row), float(edges[0][0] * row + edges[0][1]))
    distance = np.hypot(*(np.indices(hull.shape) - np.reshape(apex, (2, 1, 1))))
    return Sector("fan", hull, apex, angles, (float(distance[hull].min()), float(distance[hull].max())))


def _hull(bright: np.ndarray) -> np.ndarray:
    reach = max(round(0.01 * max(bright.shape)), 1)
    closed = binary_fill_holes(binary_closing(np.pad(bright, reach), iterations=reach))[reach:-reach, reach:-reach]
    parts, count = label(closed)
    if not count:
        return np.ones_like(bright)
    largest = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    slim = min(np.ptp(np.nonzero(largest), axis=1)) == 0  # a line of pixels has no hull but with their corners
    return np.asarray(convex_hull_image(largest, offset_coordinates=slim), dtype=bool)


def _edge(rows: np.ndarray, columns: np.ndarray, outward: int) -> tuple[float, float]:
    """Column of a straight edge as slope and offset over the row: the longest straight part of the hull's border."""
    if len(rows) < 3:
        return 0.0, float(columns.mean())
    reach = max(len(rows) // 5, 2)
    widest = rows[0] + np.argmax(outward * columns)  # below it a fan is bounded by its arc
    upper = max(int(widest - rows[0]) + 1, reach)
    inner = slice(upper // 5, max(upper, 3))  # the uppermost rows are the arc of the probe
    x, y = rows[inner], columns[inner]
    slope, offset = np.polyfit(x, y, 1)
    keep = np.abs(y - (slope * x + offset)) <= max(np.median(np.abs(y - (slope * x + offset))) * 2.5, 1.0)
    slope, offset = np.polyfit(x[keep], y[keep], 1)
    return float(slope), float(offset)


class SectorMask(Transform):
    """The mask of the insonified part of a B-mode frame, as :func:`find_sector` finds it."""

    def __call__(self, img: NdarrayOrTensor) -> torch.Tensor:
        """Finds the mask of one frame.

        Args:
            img: frame, shape (C, H, W).

        Returns:
            uint8, 0 and 1, shape (1, H, W), with the frame's affine where it has one.

        Raises:
            InputError: when the frame is empty, black, not finite, or not 2-D.
        """
        mask = torch.from_numpy(find_sector(img).mask.astype(np.uint8))[None]
        return MetaTensor(mask, affine=img.affine) if isinstance(img, MetaTensor) else mask


class SectorMaskd(MapTransform):
    """Adds the mask of the insonified part of B-mode frames: dictionary form of :class:`SectorMask`.

    Args:
        keys: keys of the frames, shape (C, H, W).
        mask_key: key of the mask, uint8 0 and 1, shape (1, H, W).
        allow_missing_keys: whether a key may be missing.

    Raises:
        ConfigurationError: for more than one key.
    """

    def __init__(self, keys: KeysCollection, mask_key: str = "sector", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_key = mask_key
        self.transform = SectorMask()
        if len(self.keys) != 1:
            raise ConfigurationError(f"SectorMaskd: one frame has one sector, got keys {self.keys}")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Adds the mask of one item.

        Args:
            data: item with the frame.

        Returns:
            A new item.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            item[self.mask_key] = self.transform(item[key])
        return item


SectorMaskD = SectorMaskDict = SectorMaskd
