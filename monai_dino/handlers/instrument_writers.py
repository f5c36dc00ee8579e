# SPDX-License-Identifier: Apache-2.0
"""Rows of instruments for TensorBoard and MLflow."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine
from monai.handlers import MLFlowHandler
from monai.utils import optional_import

from monai_dino.errors import ConfigurationError

__all__ = ["MLflowWriter", "TensorBoardWriter"]

_LOGGER = logging.getLogger(__name__)
_PAUSE = 300.0  # seconds
_NOT_CURVES = ("step", "epoch")


class TensorBoardWriter:
    """A curve for each column.

    Args:
        folder: folder of the event files.
        last_step: step that the run goes on from; later ones of an earlier attempt are hidden.
    """

    def __init__(self, folder: str | Path, last_step: int = 0) -> None:
        self._writer: Any = None
        summary_writer, found = optional_import("torch.utils.tensorboard", name="SummaryWriter")
        if found:
            self._writer = summary_writer(str(folder), purge_step=last_step + 1 if last_step else None)
        else:
            _LOGGER.warning("no curves for TensorBoard: pip install tensorboard")

    def add(self, row: Mapping[str, float]) -> None:
        """Adds a point to each curve.

        Args:
            row: name of the curve -> number; ``step`` is one.
        """
        if self._writer is None:
            return
        for name, value in row.items():
            if name not in _NOT_CURVES:
                self._writer.add_scalar(name, value, int(row["step"]))
        self._writer.flush()

    def close(self) -> None:
        """Closes the files."""
        if self._writer is not None:
            self._writer.close()


class MLflowWriter:
    """A metric for each column, through MONAI's handler: a run of the experiment ``monai_dino``.

    A run that is taken up again in the same folder goes on in the same MLflow run. A server that cannot be reached
    while the training runs is warned of, and left alone for some minutes; its rows are missing there.

    Args:
        uri: tracking server, or ``sqlite:///PATH/mlruns.db``.
        output_dir: folder of the run, after which it is named.
        engine: the trainer.

    Raises:
        ConfigurationError: when the package is missing, or MLflow refuses the address.
    """

    def __init__(self, uri: str, output_dir: str | Path, engine: Engine) -> None:
        if not optional_import("mlflow")[1]:
            raise ConfigurationError(
                f"mlflow_uri={uri}: the package mlflow is missing; pip install 'monai-dino[mlflow]', or leave it out"
            )
        folder = Path(output_dir).resolve()
        name = f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
        self._row: dict[str, float] = {}
        self._engine = engine
        self._next_try = 0.0
        try:
            self._handler = MLFlowHandler(
                tracking_uri=uri,
                output_transform=lambda output: self._row,
                experiment_name="monai_dino",
                run_name=name,
                optimizer_param_names=(),
            )
            self._handler.start(engine)
        except Exception as reason:  # of many kinds: the address, the network, the server
            raise ConfigurationError(f"mlflow_uri={uri}: {reason}") from reason

    def add(self, row: Mapping[str, float]) -> None:
        """Adds a value to each metric.

        Args:
            row: name of the metric -> number.
        """
        self._row = {name: value for name, value in row.items() if name not in _NOT_CURVES and math.isfinite(value)}
        if time.monotonic() >= self._next_try:
            self._or_warn(self._handler.iteration_completed, self._engine)

    def close(self) -> None:
        """Ends the run, where the training is complete."""
        state = self._engine.state
        if state.iteration >= (state.max_epochs or 0) * (state.epoch_length or 0):
            self._or_warn(self._handler.close)

    def _or_warn(self, call: Callable[..., Any], *args: Any) -> None:
        """A server that is away is no reason to end a training of days, nor to wait for it at every row."""
        start = time.monotonic()
        try:
            call(*args)
        except Exception as reason:
            now = time.monotonic()
            pause = max(_PAUSE, 10 * (now - start))
            self._next_try = now + pause
            _LOGGER.warning(
                "MLflow could not be reached at step %d (%s); no rows are sent for %.0f minutes, they are in the CSV",
                *(self._engine.state.iteration, reason, pause / 60),
            )
