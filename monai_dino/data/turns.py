# SPDX-License-Identifier: Apache-2.0
"""Drawing without replacement, in rounds, that knows no state."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

__all__ = ["Turns"]


class Turns:
    """Whose turn it is, where each of some things has one turn in a round, in a new random order each time round.

    With two groups, each has its share of the turns, evenly spread, and its own members take those in turn. Which one
    it is depends on (seed, turn) alone, so that any process can tell without those before.

    Args:
        groups: numbers of the things in each group, one or two groups.
        share: share of the turns that the first of two groups takes.
        seed: seed of the run.
    """

    def __init__(self, groups: Sequence[np.ndarray], share: float = 1.0, seed: int = 0) -> None:
        self.groups = groups
        self.share = share
        self.seed = seed

    def __getitem__(self, turn: int) -> int:
        """Tells whose turn it is.

        Args:
            turn: number of the turn, from 0, without end.

        Returns:
            A number out of the groups.
        """
        before, through = int(turn * self.share), int((turn + 1) * self.share)
        group, taken = (0, before) if through > before else (1, turn - before)
        members = self.groups[group]
        time, place = divmod(taken, len(members))
        return int(members[_order(self.seed, group, time, len(members))[place]])


# An epoch is shuffled after this, so that a loader asks for turns of two times round and of both groups by chance.
@lru_cache(maxsize=16)
def _order(seed: int, group: int, time: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, group, time]).permutation(count)
