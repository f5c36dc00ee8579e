# SPDX-License-Identifier: Apache-2.0
"""Keeps the network that did best on the validation cases, and the settings it was trained with."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import nn

from monai_dino.files import written_whole
from monai_dino.handlers.settings import save_settings

__all__ = ["BestModelHandler"]

_LOGGER = logging.getLogger(__name__)


class BestModelHandler:
    """Writes the state dict whenever the key metric of validation is the highest so far, or has never been defined.

    The file is written beside its place and then renamed, so that an interruption leaves the previous one whole.
    MONAI's bundle commands (``ckpt_export``, ...) read it. Only the first process of a distributed run writes.

    Args:
        network: the network; of one wrapped for distributed training the inner one is saved.
        path: file to write; its folder is made.
        settings: settings that evaluation and inference need, written as ``settings.json`` beside it.
    """

    def __init__(self, network: nn.Module, path: str | Path, settings: Mapping[str, Any]) -> None:
        self.network = network
        self.path = Path(path)
        self.settings = settings
        self.best = -math.inf

    def attach(self, engine: Engine) -> None:
        """Registers the handler.

        Args:
            engine: the evaluator of the validation cases, whose state has the key metric.
        """
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Saves the network if it is the best so far.

        Args:
            engine: the evaluator.
        """
        value = float(engine.state.metrics[engine.state.key_metric_name])
        if math.isnan(value):
            _LOGGER.warning(
                "%s is undefined on these validation cases (does a class or every label lack?)",
                engine.state.key_metric_name,
            )
            value = -math.inf
        if value < self.best or (value == self.best and math.isfinite(value)):
            return  # while it is undefined the latest network is kept
        self.best = value
        if dist.is_available() and dist.is_initialized() and dist.get_rank() > 0:
            return
        inner = self.network.module if isinstance(self.network, nn.parallel.DistributedDataParallel) else self.network
        with written_whole(self.path) as partial:
            torch.save(inner.state_dict(), partial)
            save_settings(self.path.with_name("settings.json"), self.settings)
