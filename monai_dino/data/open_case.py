# SPDX-License-Identifier: Apache-2.0
"""A case of a datalist, opened: one image, and one label."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.data import MetaTensor

from monai_dino.data.checks import check_same_grid
from monai_dino.data.mask_volume import MaskVolume
from monai_dino.data.open_volume import OpenVolume, StackedVolume, read_whole
from monai_dino.data.reading import open_volume
from monai_dino.data.sources import paths_of
from monai_dino.errors import InputError

__all__ = ["OpenCase", "open_case", "read_mask"]

_LOGGER = logging.getLogger(__name__)
_OVERLAY = 0.2  # share of coloured pixels below which colour is likelier a caliper or Doppler box than a colour image


@dataclass
class OpenCase:
    """A case whose voxels are read part by part.

    Attributes:
        image: the image.
        label: its mask, uint8 or int32 with one channel, not yet held against the image; ``None`` where there is none.
    """

    image: OpenVolume
    label: OpenVolume | None


@contextmanager
def open_case(
    item: Mapping[Any, Any], in_channels: int = 1, scratch: Path | None = None, fill: float | None = None
) -> Iterator[OpenCase]:
    """Opens the image, and the label mask where there is one, of a datalist item.

    Args:
        item: ``image`` is a path, or a list of paths whose channels are stacked; ``label`` is a path, a list of paths
            whose masks are united, or something else, which is no mask.
        in_channels: channels that the image must have. A colour image whose three channels are equal counts as one.
        scratch: folder to unpack in; see :func:`monai_dino.data.reading.open_volume`.
        fill: value that voxels of the image which are not finite get; ``None`` refuses them.

    Yields:
        The case.

    Raises:
        InputError: when a file cannot be believed, when the image has another number of channels, when stacked images
            lie on different grids, or when a mask holds values that are not whole numbers.
    """
    with ExitStack() as stack:
        parts = [stack.enter_context(open_volume(p, scratch, fill)) for p in _paths(item["image"])]
        for part in parts[1:]:
            check_same_grid(part, parts[0], str(part.path), str(parts[0].path))
        image = parts[0] if len(parts) == 1 else StackedVolume(parts)
        label = None
        if paths_of(item.get("label")):
            label = MaskVolume([stack.enter_context(open_volume(p, scratch)) for p in _paths(item["label"])])
        yield OpenCase(_with_channels(image, in_channels), label)


def _with_channels(image: OpenVolume, in_channels: int) -> OpenVolume:
    found = image.shape[0]
    if found == in_channels:
        return image
    colour = found in (3, 4) and not isinstance(image, StackedVolume)
    what = "a colour image" if colour else f"an image of {found} channel{'s' if found > 1 else ''}"
    if colour and found == 3 and in_channels == 1:
        coloured = _share_of_colour(image)
        if coloured == 0:
            _LOGGER.info("%s: its three colour channels are equal; one is used", image.path)
            return StackedVolume([image], channels=[0])
        if coloured < _OVERLAY:
            what += f" (though only {coloured:.1%} of its pixels are coloured: is something burnt in?)"
    raise InputError(
        f"{image.path}: {what}, but in_channels is {in_channels}; convert it, or set in_channels to {found}"
    )


def _share_of_colour(image: OpenVolume) -> float:
    slices = (image.read(2, k, k + 1) for k in range(image.shape[3]))
    return sum(int((one != one[:1]).any(axis=0).sum()) for one in slices) / math.prod(image.shape[1:])


def _paths(value: Any) -> list[str | Path]:
    return [value] if isinstance(value, (str, Path)) else list(value)


def read_mask(paths: Sequence[str | Path]) -> MetaTensor:
    """Reads the masks of one case and unites them; see :class:`monai_dino.data.mask_volume.MaskVolume`.

    Args:
        paths: files on one grid.

    Returns:
        Mask, uint8 or int32, shape (1, X, Y, Z).

    Raises:
        InputError: when a file cannot be believed, or is no mask.
    """
    with MaskVolume([open_volume(path) for path in paths]) as mask:
        return read_whole(mask)
