# SPDX-License-Identifier: Apache-2.0
"""A k-NN on labelled cases while a self-supervised training runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.data import list_data_collate
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from monai_dino.data.case_slices import CaseSlices
from monai_dino.data.checks import check_class
from monai_dino.errors import ConfigurationError
from monai_dino.evaluation.features import extract_features
from monai_dino.evaluation.knn_score import check_voters, knn_score
from monai_dino.handlers.training_table import TrainingTable, read_training_table
from monai_dino.inferers.autocast import Precision
from monai_dino.losses.collectives import all_reduce_sum, several_processes
from monai_dino.networks import DinoEncoder
from monai_dino.networks.nets.embedder import EmbeddingPooling

__all__ = ["PeriodicKnnHandler"]

_METRICS = ("knn_balanced_accuracy", "knn_accuracy")


class PeriodicKnnHandler:
    """Tells, before training, every so many epochs and after the last, what the features are worth so far.

    The features are those of the averaged encoder, the one that is exported; each case is classified by its nearest
    cases of other patients, see :func:`monai_dino.evaluation.knn_score`. ``knn_balanced_accuracy`` and ``knn_accuracy``
    go into ``engine.state.metrics``, where they stay until an epoch ends without a new k-NN, onto the screen and into
    ``knn.csv``. Training goes on as it would have without: nothing of it is changed, and no random number is drawn.

    Of several processes the first computes and the others wait for its result; an encoder that is sharded (FSDP) is run
    by all of them.

    Args:
        slices: labelled cases; see :func:`monai_dino.data.labelled_slices`.
        output_dir: folder of ``knn.csv``. A run that is taken up again goes on in it; rows of later steps, which are
            done again, are dropped.
        interval: epochs from one to the next.
        k: neighbours that vote.
        temperature: of the weights of votes; ``None`` for equal ones.
        pooling: ``cls``, ``patches`` or ``cls+patches``.
        precision: see :func:`monai_dino.inferers.autocast`.
        batch_size: slices that the encoder sees at once.
        cache: whether prepared slices stay in memory, 4 bytes a pixel.

    Raises:
        ConfigurationError: for an interval below 1, or slices without names of classes.
        InputError: when a class could never be told, since it is of one patient alone.
    """

    def __init__(
        self,
        slices: CaseSlices,
        output_dir: str | Path,
        interval: int = 1,
        k: int = 5,
        temperature: float | None = None,
        pooling: EmbeddingPooling = "cls",
        precision: Precision = "auto",
        batch_size: int = 32,
        cache: bool = True,
    ) -> None:
        if interval < 1:
            raise ConfigurationError(f"knn interval={interval}: expected at least 1 epoch")
        if not slices.class_names:
            raise ConfigurationError("slices: give their class_names, so that each case has one of them")
        for item in slices.items:
            check_class(item["label"], len(slices.class_names), str(item["case"]))
        check_voters([item["label"] for item in slices.items], slices.patients, slices.class_names)
        self.slices = slices
        self.path = Path(output_dir) / "knn.csv"
        self.interval = interval
        self.k = k
        self.temperature = temperature
        self.pooling: EmbeddingPooling = pooling
        self.precision: Precision = precision
        self.batch_size = batch_size
        self.cache = cache
        self._prepared: Sequence[Any] | None = None
        self._table: TrainingTable | None = None
        self._last: int | None = None  # step of the last row; None until the run has begun

    def attach(self, engine: Engine) -> None:
        """Registers the handler, on every process; attach it before those that read its metrics.

        Args:
            engine: the trainer, whose ``network`` has the ``average`` that is looked at, as a
                :class:`monai_dino.engines.DinoTrainer`.
        """
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def _begin(self, engine: Engine) -> None:
        # Not when the engine starts, since only then others may load the checkpoint that it goes on from.
        if self._last is not None:
            return
        step, last = engine.state.iteration, [-1.0] * (1 + len(_METRICS))
        if _is_first():
            self._table = TrainingTable(self.path, step or -1)  # a new run begins a new table
            rows = [[float(row[name]) for name in ("step", *_METRICS)] for row in read_training_table(self.path)]
            last = max(rows, default=last)
        found, *values = _of_first(last, _encoder(engine))
        self._last = int(found)
        if self._last == step:  # measured, but perhaps nobody had looked at it when the run was stopped
            engine.state.metrics.update(zip(_METRICS, values, strict=True))
        # A run may have been stopped between the last step of an epoch and its k-NN.
        epochs, within = divmod(step, engine.state.epoch_length or 1)
        if not within and (not epochs or self._is_due(engine, epochs)):
            self._evaluate(engine)

    def _epoch(self, engine: Engine) -> None:
        for name in _METRICS:
            engine.state.metrics.pop(name, None)
        if self._is_due(engine, engine.state.epoch):
            self._evaluate(engine)

    def _finish(self, engine: Engine) -> None:
        self._begin(engine)
        self._evaluate(engine)
        self._last = None

    def _is_due(self, engine: Engine, epoch: int) -> bool:
        return epoch % self.interval == 0 or epoch == engine.state.max_epochs

    def _evaluate(self, engine: Engine) -> None:
        step = engine.state.iteration
        if self._last is None or step <= self._last:
            return
        self._last = step
        encoder = _encoder(engine)
        sharded = any(isinstance(p, DTensor) for p in encoder.parameters())
        values = _of_first(self._score(encoder) if sharded or _is_first() else [0.0, 0.0], encoder)
        metrics = dict(zip(_METRICS, values, strict=True))
        engine.state.metrics.update(metrics)
        if self._table is None:
            return
        epoch = step // (engine.state.epoch_length or 1)
        self._table.add({"step": step, "epoch": epoch} | metrics)
        start = next((float(row[_METRICS[0]]) for row in read_training_table(self.path) if row["step"] == "0"), None)
        since = "" if start is None or not step else f" ({start:.3f} before training)"
        tqdm.write(
            f"{self.k}-NN after epoch {epoch}: balanced accuracy {values[0]:.3f}{since}, accuracy {values[1]:.3f}, of "
            f"{len(self.slices.items)} cases"
        )

    def _score(self, encoder: DinoEncoder) -> list[float]:
        if self._prepared is None:
            bar = tqdm(range(len(self.slices)), desc="Slices", unit="slice", leave=False, disable=not _is_first())
            self._prepared = [self.slices[i] for i in bar] if self.cache else cast(Any, self.slices)
        # A loader draws a number from its generator, by default from the one that training draws from.
        loader: Any = DataLoader(
            cast(Any, self._prepared),
            self.batch_size,
            collate_fn=list_data_collate,
            generator=torch.Generator(),
        )
        features = extract_features(encoder, loader, None, self.precision, self.batch_size, progress=_is_first())
        score = knn_score(features, self.k, self.pooling, temperature=self.temperature)
        return [score.balanced_accuracy, score.accuracy]


def _encoder(engine: Engine) -> DinoEncoder:
    return cast(DinoEncoder, engine.network.average.encoder)


def _of_first(values: Sequence[float], encoder: DinoEncoder) -> list[float]:
    """What the first process says."""
    if not several_processes():
        return list(values)
    found = torch.tensor(values, dtype=torch.float64, device=next(encoder.parameters()).device)
    agreed: list[float] = all_reduce_sum(found if _is_first() else torch.zeros_like(found)).tolist()
    return agreed


def _is_first() -> bool:
    return not several_processes() or dist.get_rank() == 0
