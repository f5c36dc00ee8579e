# SPDX-License-Identifier: Apache-2.0
"""Tells a dataset which epoch it is."""

from __future__ import annotations

from typing import Protocol

from ignite.engine import Engine, Events

__all__ = ["SetEpochHandler"]


class _HasEpoch(Protocol):
    def set_epoch(self, epoch: int) -> None: ...


class SetEpochHandler:
    """Calls ``set_epoch`` of a dataset before the loader makes its workers.

    Args:
        dataset: a dataset whose samples depend on the epoch, such as :class:`monai_dino.data.SliceDataset`.
    """

    def __init__(self, dataset: _HasEpoch) -> None:
        self.dataset = dataset

    def attach(self, engine: Engine) -> None:
        """Registers the handler.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Sets the epoch.

        Args:
            engine: the trainer.
        """
        self.dataset.set_epoch(engine.state.epoch)
