# SPDX-License-Identifier: Apache-2.0
"""Says in words when a self-supervised training collapses, and what to try."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist
from ignite.engine import Engine, Events

from monai_dino.errors import ConfigurationError
from monai_dino.files import write_json
from monai_dino.handlers.collapse_rules import CAUSES, CollapseRules, FeatureReference, advice
from monai_dino.handlers.instruments import InstrumentEvents
from monai_dino.losses.collectives import several_processes

__all__ = ["CollapseMonitor"]

_SHOWN = (
    *("loss", "dino_relative", "target_entropy_relative", "usage_entropy_relative", "effective_rank"),
    *("feature_similarity", "center_norm", "learning_rate", "teacher_temp"),
)


class CollapseMonitor:
    """Watches the rows of :class:`InstrumentsHandler` for signs of collapse; see :class:`CollapseRules`.

    A cause for which some rows in succession speak is logged as a warning, with what to try, and again if it ends and
    comes back; as many rows without it end it. Rows over a window that fills anew, as after a restart, count for
    neither, unless the targets alone speak. ``verdict.json`` has what was found and when, and whether it holds.
    Training goes on.

    Args:
        output_dir: folder of ``verdict.json``.
        patience: rows in succession that make a verdict.
        rules: thresholds; ``None`` for those that were found by experiment.

    Attributes:
        findings: causes so far, each with ``cause``, ``step`` and ``epoch`` of the verdict, ``until`` (the step of its
            end, ``None`` while it holds), ``numbers`` of that row, ``early``, the best that the features were before,
            and ``advice``.

    Raises:
        ConfigurationError: for a patience that is not above 0.
    """

    def __init__(self, output_dir: str | Path, patience: int = 3, rules: CollapseRules | None = None) -> None:
        if patience < 1:
            raise ConfigurationError(f"patience={patience}: expected at least 1")
        self.path = Path(output_dir) / "verdict.json"
        self.patience = patience
        self.rules = rules or CollapseRules()
        self.findings: list[dict[str, Any]] = []
        self.reference = FeatureReference()
        self.last_step = 0
        self._streak: list[str | None] = []
        self._written = False

    def attach(self, engine: Engine) -> None:
        """Registers the handler, on every process; attach it after :class:`InstrumentsHandler`.

        Args:
            engine: the trainer.
        """
        engine.register_events(*InstrumentEvents)
        engine.add_event_handler(InstrumentEvents.ROW_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def __call__(self, engine: Engine) -> None:
        """Judges the last row.

        Args:
            engine: the trainer, after a row.
        """
        state = engine.state
        steps = (state.max_epochs or 1) * (state.epoch_length or 1)
        self.judge(state.instruments, state.iteration / steps)
        if not self._written:
            self._write()  # else that of an earlier run in this folder would stay until something is found

    def judge(self, row: Mapping[str, float], share: float) -> None:
        """Judges a row.

        Args:
            row: of :class:`InstrumentsHandler`.
            share: share of the run that is done.
        """
        self.reference.take(row)
        self.last_step = int(row["step"])
        current = self.findings[-1] if self.findings and self.findings[-1]["until"] is None else None
        holds = None if current is None else current["cause"]
        sign = self.rules.sign(row, self.reference, share, holds)
        if sign is None and self.reference.rows and not self.reference.holds_for(row):
            return  # while the window fills anew, as after a restart, nothing is known, which is no sign of health
        self._streak = [*self._streak, sign][-self.patience :]
        if len(self._streak) < self.patience or len(set(self._streak)) > 1 or sign == holds:
            return
        if current:
            current["until"] = self.last_step
        if sign is not None:
            self.findings.append(self._finding(sign, row))
            if self._first:
                logging.getLogger(__name__).warning(self._words(self.findings[-1]))
        self._write()

    def summary(self) -> str:
        """What was found, in words."""
        if not self.findings:
            return f"verdict: no sign of collapse up to step {self.last_step}"
        return "\n".join(f"verdict: {self._words(finding)}" for finding in self.findings)

    def state_dict(self) -> dict[str, Any]:
        """What a run that is taken up again needs, as JSON can hold it."""
        return {
            "findings": [dict(finding) for finding in self.findings],
            "reference": self.reference.as_dict(),
            "last_step": self.last_step,
            "streak": list(self._streak),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state.

        Args:
            state: of :meth:`state_dict`.
        """
        self.findings = [dict(finding) for finding in state["findings"]]
        self.reference = FeatureReference(**state["reference"])
        self.last_step = int(state["last_step"])
        self._streak = list(state["streak"])

    @property
    def _first(self) -> bool:
        return not (several_processes() and dist.get_rank() > 0)

    def _finding(self, cause: str, row: Mapping[str, float]) -> dict[str, Any]:
        numbers = {name: row[name] for name in _SHOWN if math.isfinite(row.get(name, math.nan))}
        early = {"effective_rank": self.reference.rank, "feature_similarity": 1 - self.reference.spread}
        where = {"step": int(row["step"]), "epoch": int(row["epoch"]), "until": None}
        return {"cause": cause, **where, "numbers": numbers, "early": early, "advice": advice(cause, row)}

    def _words(self, finding: Mapping[str, Any]) -> str:
        cause, now, early = finding["cause"], finding["numbers"], finding["early"]
        found = [
            f"{label} {now[name]:.3g}{then}"
            for label, name, then in (
                ("loss / ln K", "dino_relative", ""),
                ("target entropy / ln K", "target_entropy_relative", ""),
                ("usage entropy / ln K", "usage_entropy_relative", ""),
                ("effective rank", "effective_rank", f" (was {early['effective_rank']:.3g})"),
                ("similarity of features", "feature_similarity", f" (was {early['feature_similarity']:.3g})"),
            )
            if name in now
        ]
        ended = "" if finding["until"] is None else f"; it ended at step {finding['until']}"
        return f"step {finding['step']}: {CAUSES[cause]} [{', '.join(found)}]{ended}. Try: {finding['advice']}"

    def _write(self) -> None:
        self._written = True
        if not self._first:
            return
        holds = [finding["cause"] for finding in self.findings if finding["until"] is None]
        content = {"collapse": holds[0] if holds else None, "last_step": self.last_step, "summary": self.summary()}
        write_json(self.path, content | {"findings": self.findings})
