# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_dino.data import StepSampler
from monai_dino.errors import ConfigurationError


@st.composite
def epochs(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """Samples, batch size, processes, seed and epoch."""
    processes = draw(st.integers(1, 6))
    batch = processes * draw(st.integers(1, 5))
    return draw(st.integers(batch, 200)), batch, processes, draw(st.integers(0, 10**6)), draw(st.integers(0, 50))


def batches(sampler: StepSampler, epoch: int, step: int = 0) -> list[list[int]]:
    sampler.set_position(epoch, step)
    return list(sampler)


@given(epochs(), st.data())
def test_processes_share_out_the_batches_of_one(case: tuple[int, int, int, int, int], data: st.DataObject) -> None:
    samples, batch, processes, seed, epoch = case
    alone = batches(StepSampler(samples, batch, seed, 0, 1), epoch)
    first = data.draw(st.integers(0, len(alone)))
    shares = [batches(StepSampler(samples, batch, seed, rank, processes), epoch, first) for rank in range(processes)]
    together = [[i for turn in zip(*step, strict=True) for i in turn] for step in zip(*shares, strict=True)]
    assert together == alone[first:]  # in turn, so that equal parts of the shares are those of the batch, too
    assert all(len(share) == batch // processes for step in shares for share in step)


@given(epochs())
def test_an_epoch_has_no_sample_twice(case: tuple[int, int, int, int, int]) -> None:
    samples, batch, _, seed, epoch = case
    sampler = StepSampler(samples, batch, seed)
    found = batches(sampler, epoch)
    assert len(found) == len(sampler) == samples // batch
    flat = [i for step in found for i in step]
    assert len(set(flat)) == len(flat)
    assert set(flat) <= set(range(samples))
    assert all(type(i) is int for i in flat)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    one, other = StepSampler(100, 10, seed=1), StepSampler(100, 10, seed=1)
    batches(other, 7, 3)
    assert batches(one, 2) == batches(other, 2)
    assert list(one) == batches(one, 2)  # also when asked again
    assert batches(one, 2) != batches(one, 3)
    assert batches(one, 2) != batches(StepSampler(100, 10, seed=2), 2)
    assert batches(one, 2) != [list(range(i, i + 10)) for i in range(0, 100, 10)]


def test_without_a_process_group_it_is_alone() -> None:
    sampler = StepSampler(10, 5)
    assert (sampler.rank, sampler.num_replicas) == (0, 1)


def test_what_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="batch_size=5: expected a multiple of the number of processes, 2"):
        StepSampler(100, 5, rank=0, num_replicas=2)
    with pytest.raises(ConfigurationError, match="batch_size=0"):
        StepSampler(100, 0)
    with pytest.raises(ConfigurationError, match=r"batch_size=16: an epoch has only 10 samples.*samples_per_epoch"):
        StepSampler(10, 16)
