# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch.multiprocessing as mp

from monai_dino.data.epoch import Epoch


def _numbers(epoch: Epoch, told: mp.Queue, found: mp.Queue) -> None:
    for _ in range(2):
        told.get(timeout=60)
        found.put((epoch.number, int(epoch.generator(4).integers(1 << 30))))


def test_a_process_that_was_started_before_learns_of_the_epoch() -> None:
    context = mp.get_context("spawn")
    epoch, told, found = Epoch(7), context.Queue(), context.Queue()
    process = context.Process(target=_numbers, args=(epoch, told, found))
    process.start()
    for number in (3, 5):
        epoch.number = number
        told.put(None)
        assert found.get(timeout=60) == (number, int(epoch.generator(4).integers(1 << 30)))
    process.join()


def test_the_generator_depends_on_seed_epoch_and_index_alone() -> None:
    def draw(seed: int, number: int, index: int) -> int:
        epoch = Epoch(seed)
        epoch.number = number
        return int(epoch.generator(index).integers(1 << 62))

    assert draw(1, 2, 3) == draw(1, 2, 3)
    assert len({draw(*which) for which in ((1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (2, 1, 3), (3, 2, 1))}) == 6
