# SPDX-License-Identifier: Apache-2.0
"""Intensity statistics of a volume that need not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["PERCENTILES", "Statistics", "volume_statistics"]

PERCENTILES = (0, 0.1, 0.5, 1, 2, 5, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.9, 100)
"""The percentiles that are kept of each volume: those that intensities are scaled by."""

_MOST_LEVELS = 1 << 16  # what two bytes can tell apart
_HALF = 1 << 16

Blocks = Callable[[], Iterable[np.ndarray]]


@dataclass
class Statistics:
    """Statistics of the channels of a volume.

    Attributes:
        mean: of each channel.
        std: population standard deviation of each channel.
        percentiles: percent, written as ``{:g}`` does -> value in each channel, in float32, between ranks interpolated
            linearly as NumPy does; 0 and 100 are minimum and maximum.
        levels: the distinct bit patterns of the voxels of all channels, in order, as unsigned integers; ``None`` where
            there are more than 65536.
    """

    mean: list[float]
    std: list[float]
    percentiles: dict[str, list[float]]
    levels: np.ndarray | None


def volume_statistics(blocks: Blocks, channels: int, dtype: np.dtype) -> Statistics:
    """Computes exact statistics in three passes at most, in memory of the size of a block.

    Args:
        blocks: gives the parts of the volume, anew at each call; each has the shape (C, ...) and finite values.
        channels: C.
        dtype: type of the values.

    Returns:
        The statistics.
    """
    counts: list[_Counts | None] = [_Counts(dtype) for _ in range(channels)]
    moments = [_Moments() for _ in range(channels)]
    for block in blocks():
        for c, values in enumerate(block):
            moments[c].add(values)
            if (counted := counts[c]) is not None and not counted.add(values):
                counts = [None] * channels  # then levels are of no use, and percentiles come by another way
    known = [c for c in counts if c is not None]
    size = moments[0].size
    ranks = np.unique([edge for q in PERCENTILES for edge in _between(q, size)[:2]])
    if known:
        ordered = [dict(zip(ranks.tolist(), c.at(ranks).tolist(), strict=True)) for c in known]
    else:
        ordered = [_select(blocks, c, ranks) for c in range(channels)]
    levels = np.unique(np.concatenate([c.levels for c in known])) if known else None
    return Statistics(
        mean=[m.mean for m in moments],
        std=[(m.squares / m.size) ** 0.5 for m in moments],
        percentiles={f"{q:g}": [_percentile(values, q, size) for values in ordered] for q in PERCENTILES},
        levels=None if levels is None or len(levels) > _MOST_LEVELS else levels,  # each channel may have few of its own
    )


class _Moments:
    """Mean and sum of squared deviations, merged block by block (Chan et al. 1983, equation 2.1)."""

    def __init__(self) -> None:
        self.size, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, values: np.ndarray) -> None:
        mean = float(values.mean(dtype=np.float64))
        squares = float(values.var(dtype=np.float64)) * values.size
        size, apart = self.size + values.size, mean - self.mean
        self.squares += squares + apart**2 * self.size * values.size / size
        self.mean += apart * values.size / size
        self.size = size


class _Counts:
    """How often each bit pattern occurs, as long as there are few; the patterns keep -0.0 apart from 0.0."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.bits = np.dtype(f"u{dtype.itemsize}")
        self.levels = np.empty(0, self.bits)
        self.counts = np.empty(0, np.int64)

    def add(self, values: np.ndarray) -> bool:
        new, new_counts = np.unique(np.ascontiguousarray(values).view(self.bits), return_counts=True)
        self.levels, places = np.unique(np.concatenate([self.levels, new]), return_inverse=True)
        counts = np.bincount(places, np.concatenate([self.counts, new_counts])).astype(np.int64)
        self.counts = counts
        return len(self.levels) <= _MOST_LEVELS

    def at(self, ranks: np.ndarray) -> np.ndarray:
        """The values of these ranks, in float32."""
        values = self.levels.view(self.dtype).astype(np.float32)
        order = np.argsort(values, kind="stable")
        return values[order][np.searchsorted(np.cumsum(self.counts[order]), ranks, side="right")]


def _between(percent: float, size: int) -> tuple[int, int, float]:
    place = percent / 100 * (size - 1)
    low = int(place)
    return low, min(low + 1, size - 1), place - low


def _percentile(ordered: dict[int, float], percent: float, size: int) -> float:
    low, high, share = _between(percent, size)
    return float(np.float32(ordered[low] + (ordered[high] - ordered[low]) * share))


def _select(blocks: Blocks, channel: int, ranks: Sequence[int] | np.ndarray) -> dict[int, float]:
    """The values of these ranks among the float32 values of a channel, by two histograms of half a key each."""
    upper = np.zeros(_HALF, np.int64)
    for key in _keys(blocks, channel):
        upper += np.bincount(key >> 16, minlength=_HALF)
    ends = np.cumsum(upper)
    bins = np.searchsorted(ends, ranks, side="right")
    wanted = np.unique(bins)
    slot = np.full(_HALF, -1)
    slot[wanted] = np.arange(len(wanted))
    lower = np.zeros((len(wanted), _HALF), np.int64)
    for key in _keys(blocks, channel):
        slots = slot[key >> 16]
        inside = slots >= 0
        lower += np.bincount(slots[inside] * _HALF + (key[inside] & (_HALF - 1)), minlength=lower.size).reshape(
            lower.shape
        )
    found = {}
    for rank, part in zip(ranks, bins, strict=True):
        within = rank - (ends[part] - upper[part])
        low = int(np.searchsorted(np.cumsum(lower[slot[part]]), within, side="right"))
        found[int(rank)] = _value(int(part) << 16 | low)
    return found


def _keys(blocks: Blocks, channel: int) -> Iterator[np.ndarray]:
    """float32 values as unsigned integers of the same order."""
    for block in blocks():
        bits = (block[channel].astype(np.float32) + np.float32(0)).view(np.uint32).ravel()  # -0.0 becomes 0.0
        yield np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _value(key: int) -> float:
    bits = key ^ (1 << 31) if key >> 31 else ~key & 0xFFFFFFFF
    return float(np.array(bits, np.uint32).view(np.float32))
