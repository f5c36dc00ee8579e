# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator

import pytest
from ignite.engine import Engine
from torch.utils.data import DataLoader, Dataset

from monai_dino.data import StepSampler
from monai_dino.handlers import SamplePositionHandler


class Numbers(Dataset[tuple[int, int]]):
    """Samples that say in which epoch they were taken."""

    def __init__(self) -> None:
        self.epoch = 0

    def __len__(self) -> int:
        return 12

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, index: int) -> tuple[int, int]:
        return self.epoch, index


def taken(epochs: int, resume_at: int = 0) -> list[list[tuple[int, int]]]:
    dataset, seen = Numbers(), []
    loader = DataLoader(dataset, batch_sampler=StepSampler(len(dataset), 3, seed=4), collate_fn=list)
    engine = Engine(lambda _, batch: seen.append(batch))
    SamplePositionHandler(loader).attach(engine)
    if resume_at:
        engine.load_state_dict({"iteration": resume_at, "epoch_length": 4, "max_epochs": epochs})
    engine.run(loader, max_epochs=epochs, epoch_length=4)
    return seen


def expected(epochs: int) -> Iterator[list[tuple[int, int]]]:
    sampler = StepSampler(12, 3, seed=4)
    for epoch in range(1, epochs + 1):
        sampler.set_position(epoch)
        for indices in sampler:
            yield [(epoch, index) for index in indices]


def test_every_epoch_has_its_own_samples() -> None:
    found = taken(3)
    assert found == list(expected(3))
    assert len({tuple(index for _, index in batch) for batch in found}) == 12


@pytest.mark.parametrize("step", range(1, 12))
def test_a_run_goes_on_from_any_step(step: int) -> None:
    assert taken(3, resume_at=step) == list(expected(3))[step:]
