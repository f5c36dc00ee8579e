# SPDX-License-Identifier: Apache-2.0
"""The trainer of self-supervised learning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from ignite.engine import Events
from monai.engines import Trainer
from monai.engines.utils import IterationEvents
from monai.engines.workflow import Workflow
from monai.utils.enums import CommonKeys
from torch.utils.data import DataLoader

from monai_dino.data import StepSampler
from monai_dino.distributed import leave_process_group
from monai_dino.engines.loader_workers import keep_workers_on_sigterm
from monai_dino.engines.over_processes import clip_gradients, mean_over_processes
from monai_dino.errors import ConfigurationError, NetworkError
from monai_dino.handlers.sample_position import SamplePositionHandler
from monai_dino.inferers.autocast import Precision, autocast, uses_fp16
from monai_dino.ssl import Schedules, StepValues, StudentTraining, build_optimizer
from monai_dino.ssl.parameter_groups import set_step_values

__all__ = ["DinoTrainer"]

_TERMINATED = 128 + 15
_MOST_LEFT_OUT = 20  # steps: a scaler that begins at 2^16 and halves with each is below 1 by then


class DinoTrainer(Trainer):
    """Trains a :class:`monai_dino.ssl.SelfDistillation` or a :class:`monai_dino.ssl.Distillation`.

    It is a MONAI ``Trainer`` with its handlers and events.

    Whatever is random in a step is a function of (seed, step, process), and every rate one of the step alone, so that
    a run which is stopped and taken up again goes on as if it had not been. An iteration is one update of the weights,
    for which the batch may be worked through in parts.

    Args:
        device: where to train; the network is there already.
        max_epochs: epochs.
        train_data_loader: gives batches of views, as :class:`monai_dino.transforms.BatchedViews` makes them; its
            ``batch_sampler`` a :class:`monai_dino.data.StepSampler`.
        network: what is trained.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``auto``; see :func:`monai_dino.inferers.autocast`.
        accumulation_steps: parts in which a batch is worked through, to save memory. Each part is a batch of its own to
            Sinkhorn-Knopp, to the centre and to KoLeo.
        seed: seed of the run.
        train_handlers: handlers.

    Attributes:
        network: what is trained.
        optimizer: over the student's parameters.
        schedules: the values of each step.
        scaler: of the loss in fp16, else switched off; it outlives :meth:`run`.
        interrupted: set by a handler that ended the run before its time; :meth:`run` then exits the process.

    ``state.output`` of an iteration is a mapping: ``loss``; ``parts``, the instruments of
    :class:`~monai_dino.ssl.SelfDistillation`; ``values``, the :class:`~monai_dino.ssl.StepValues`;
    ``gradient_norms``, before clipping, of the encoder and each head; ``images``, the number of them. Numbers are means
    over the parts of the batch and over all processes; ``features`` are those of this process.

    Raises:
        ConfigurationError: for a loader without a :class:`~monai_dino.data.StepSampler`, or parts that are not equal.
    """

    scaler: torch.amp.GradScaler  # type: ignore[assignment]  # MONAI means the one of CUDA, its deprecated subclass

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
        train_data_loader: DataLoader[Any],
        network: StudentTraining,
        precision: Precision = "auto",
        accumulation_steps: int = 1,
        seed: int = 0,
        train_handlers: Sequence[Any] | None = None,
    ) -> None:
        sampler = train_data_loader.batch_sampler
        if not isinstance(sampler, StepSampler):
            raise ConfigurationError(
                f"train_data_loader: its batch_sampler is a {type(sampler).__name__}, expected a StepSampler, without "
                f"which a run could not be taken up again where it stopped"
            )
        share = sampler.batch_size // sampler.num_replicas
        if accumulation_steps < 1 or share % accumulation_steps:
            raise ConfigurationError(
                f"accumulation_steps={accumulation_steps}: the {share} images of a process are not so many equal parts"
            )
        keep_workers_on_sigterm(train_data_loader)
        self.network = network
        self.precision = precision
        self.accumulation_steps = accumulation_steps
        self.seed = seed
        self.sampler = sampler
        self.optimizer = build_optimizer(network.student, network.settings)
        self.schedules = Schedules(network.settings, max_epochs * len(sampler))
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            data_loader=train_data_loader,
            epoch_length=len(sampler),
            handlers=[SamplePositionHandler(train_data_loader), *(train_handlers or ())],
            event_names=[*IterationEvents],
            decollate=False,
        )
        self.interrupted = False
        self._left_out = 0
        self.scaler = torch.amp.GradScaler(torch.device(device).type, enabled=uses_fp16(precision))

    def run(self) -> None:
        """Trains from the present iteration to the last.

        Raises:
            SystemExit: with status 143, as after SIGTERM, when a handler interrupted the run, so that no later step of
                a job takes an unfinished training for a finished one.
        """
        if self.has_event_handler(_raise, Events.EXCEPTION_RAISED):
            self.remove_event_handler(_raise, Events.EXCEPTION_RAISED)
        self.add_event_handler(Events.EXCEPTION_RAISED, _raise)  # last, so that each handler can put away its own
        self.network.train()
        if self.state.iteration >= self.schedules.total:  # taken up where it had ended; Ignite would begin anew
            self.fire_event(Events.STARTED)
            self.fire_event(Events.COMPLETED)
            return
        Workflow.run(self)  # Trainer's own begins a new scaler, and what the old one had learnt would be lost
        self._exit_if_interrupted()

    def _exit_if_interrupted(self) -> None:
        if self.interrupted:
            leave_process_group()
            raise SystemExit(_TERMINATED)

    def _iteration(self, engine: Any, batchdata: Mapping[str, Any]) -> dict[str, Any]:
        step = engine.state.iteration - 1
        values = self.schedules(step)
        set_step_values(self.optimizer, values)
        torch.manual_seed(_seed_of(self.seed, step))
        if values.gram_refresh or (values.gram and getattr(self.network, "gram_teacher", None) is None):
            self.network.refresh_gram_teacher()
        self.optimizer.zero_grad(set_to_none=True)
        losses, parts = [], []
        for chunk, last in self._chunks(batchdata):
            with self._without_sync(last):
                with autocast(self.precision, engine.state.device):
                    loss, made = self.network(chunk, values.teacher_temp, values.encoder_frozen)
                self.fire_event(IterationEvents.FORWARD_COMPLETED)
                self.fire_event(IterationEvents.LOSS_COMPLETED)
                self.scaler.scale(loss / self.accumulation_steps).backward()
            losses.append(loss.detach())
            parts.append(made)
        self.fire_event(IterationEvents.BACKWARD_COMPLETED)
        norms = self._clip()
        made = {name: _joined(name, [part[name] for part in parts]) for name in parts[0]}
        made = mean_over_processes({**made, CommonKeys.LOSS: torch.stack(losses).mean()})
        total = made.pop(CommonKeys.LOSS)
        # In fp16 gradients may overflow: the scaler then leaves the step out. Asked here and not before the backward
        # pass, so that all processes, whose gradients are joint, stop at the same step.
        _require_finite(step, total, made, {} if self._may_leave_out(norms) else norms)
        self._update(values)
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return {
            CommonKeys.LOSS: total,
            "parts": made,
            "values": values,
            "gradient_norms": norms,
            "images": self.sampler.batch_size,
        }

    def _clip(self) -> dict[str, torch.Tensor]:
        self.scaler.unscale_(self.optimizer)
        largest = self.network.settings.clip_norm
        parts = self.network.student.named_children()
        norms = {name: clip_gradients(part.parameters(), largest) for name, part in parts}
        return {name: norm for name, norm in norms.items() if norm is not None}

    def _may_leave_out(self, norms: Mapping[str, torch.Tensor]) -> bool:
        if not self.scaler.is_enabled():
            return False
        finite = bool(torch.isfinite(torch.stack([*norms.values()])).all())
        self._left_out = 0 if finite else self._left_out + 1
        return self._left_out < _MOST_LEFT_OUT

    def _update(self, values: StepValues) -> None:
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.network.update_teacher(values.momentum)

    def _chunks(self, batch: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
        device = self.state.device
        views = {key: value for key, value in batch.items() if isinstance(value, torch.Tensor)}
        pieces = {key: value.chunk(self.accumulation_steps) for key, value in views.items()}
        for index in range(self.accumulation_steps):
            chunk = {key: piece[index].to(device, non_blocking=True) for key, piece in pieces.items()}
            yield chunk, index == self.accumulation_steps - 1

    def _without_sync(self, last: bool) -> AbstractContextManager[Any]:
        # FSDP shares out the gradients of each part: until then every process would hold those of the whole network.
        no_sync = getattr(self.network.run_student, "no_sync", None)
        return nullcontext() if last or no_sync is None else no_sync()


def _raise(engine: Any, error: BaseException) -> None:
    raise error


def _seed_of(seed: int, step: int) -> int:
    rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1)


def _joined(name: str, values: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat(values) if name == "features" else torch.stack(values).mean()


def _require_finite(
    step: int, loss: torch.Tensor, parts: Mapping[str, torch.Tensor], norms: Mapping[str, torch.Tensor]
) -> None:
    if torch.isfinite(torch.stack([loss, *norms.values()])).all():
        return
    named = {**parts, **{f"gradient of {name}": norm for name, norm in norms.items()}}
    bad = [name for name, value in named.items() if not torch.isfinite(value).all()]
    raise NetworkError(
        f"step {step}: the loss is {float(loss)} (not finite: {', '.join(bad) or 'the sum'}); lower the learning rate "
        f"or clip_norm, or set precision to fp32. The last checkpoint is from before"
    )
