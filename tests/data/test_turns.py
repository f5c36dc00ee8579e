# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monai_dino.data.turns import Turns


@given(count=st.integers(1, 20), times=st.integers(1, 4), seed=st.integers(0, 2**31))
def test_each_comes_once_before_any_comes_again(count: int, times: int, seed: int) -> None:
    turns = Turns([np.arange(100, 100 + count)], seed=seed)
    for time in range(times):
        assert sorted(turns[time * count + k] for k in range(count)) == list(range(100, 100 + count))


@given(first=st.integers(1, 9), second=st.integers(1, 9), share=st.floats(0, 1), start=st.integers(0, 10**6))
def test_two_groups_have_their_shares_and_each_takes_turns(first: int, second: int, share: float, start: int) -> None:
    turns = Turns([np.arange(first), 100 + np.arange(second)], share, seed=3)
    found = [turns[turn] for turn in range(start, start + 60)]
    assert abs(sum(number < 100 for number in found) - 60 * share) < 1 + 1e-6
    for members in (range(first), range(100, 100 + second)):
        counts = Counter(found)
        # A window may cut the first and the last time round.
        assert max(counts[n] for n in members) - min(counts[n] for n in members) <= 2


def test_the_order_is_new_each_time_and_with_each_seed() -> None:
    turns, others = Turns([np.arange(50)], seed=1), Turns([np.arange(50)], seed=2)
    orders = [[turns[start + k] for k in range(50)] for start in (0, 50, 100)] + [[others[k] for k in range(50)]]
    assert len({tuple(order) for order in orders}) == 4
    assert orders[0] != sorted(orders[0])


def test_a_turn_is_the_same_whatever_was_asked_before() -> None:
    groups = [np.arange(7), np.arange(7, 18)]
    turns = Turns(groups, 0.3, seed=5)
    forward = [turns[turn] for turn in range(200)]
    again = Turns(groups, 0.3, seed=5)
    assert [again[turn] for turn in reversed(range(200))][::-1] == forward
