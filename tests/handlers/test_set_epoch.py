# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from ignite.engine import Engine
from torch.utils.data import DataLoader, Dataset

from monai_dino.handlers import SetEpochHandler


class Epochs(Dataset[int]):
    """A dataset whose samples are the epoch."""

    def __init__(self) -> None:
        self.epoch = -1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> int:
        return self.epoch


@pytest.mark.parametrize("workers", [0, 2])
def test_every_sample_is_of_its_epoch(workers: int) -> None:
    seen: list[tuple[int, list[int]]] = []
    engine = Engine(lambda e, batch: seen.append((e.state.epoch, batch.tolist())))
    dataset = Epochs()
    SetEpochHandler(dataset).attach(engine)
    engine.run(DataLoader(dataset, batch_size=2, num_workers=workers), max_epochs=3)
    assert len(seen) == 9
    for epoch, samples in seen:
        assert set(samples) == {epoch}
