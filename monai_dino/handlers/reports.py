# SPDX-License-Identifier: Apache-2.0
"""Evaluation reports, gathered while an evaluator runs over labelled cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data.utils import affine_to_spacing

from monai_dino.errors import ConfigurationError
from monai_dino.evaluation.report import summarise_classification, summarise_segmentation, write_report
from monai_dino.evaluation.segmentation import segmentation_metrics

__all__ = ["ClassificationReportHandler", "SegmentationReportHandler"]


class _ReportHandler:
    def __init__(self, output_dir: str | Path, class_names: Sequence[str], about: dict[str, Any] | None = None) -> None:
        self.output_dir = Path(output_dir)
        self.class_names = list(class_names)
        self.about = about or {}
        self.rows: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Registers the handler.

        Args:
            engine: the evaluator; each item of its output has the prediction, the label, ``case`` and ``patient``.
        """
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._gather)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self.rows = []

    def _gather(self, engine: Engine) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            case = str(batch["case"])
            who = {"case": case, "patient": str(batch.get("patient", case))}
            self.rows += [who | row for row in self._measure(output)]

    def _measure(self, output: dict[str, Any]) -> list[dict[str, Any]]:
        raise NotImplementedError

    def _write(self, engine: Engine) -> None:
        raise NotImplementedError


class SegmentationReportHandler(_ReportHandler):
    """Writes ``segmentation.csv`` (a row per case and class) and ``segmentation.json`` (means with intervals).

    Args:
        output_dir: folder of the reports.
        class_names: names of the classes, the background first.
        about: what else the JSON is to state.
    """

    def _measure(self, output: dict[str, Any]) -> list[dict[str, Any]]:
        for key in ("pred", "label"):
            if (channels := output[key].shape[0]) != 1:
                raise ConfigurationError(
                    f"{key}: has {channels} channels, expected one of class numbers; give the evaluator an inferer "
                    f"with the output 'labels'"
                )
        prediction, truth = (output[key].as_subclass(torch.Tensor)[0].cpu() for key in ("pred", "label"))
        spacing = affine_to_spacing(output["label"].affine).tolist()
        measured = segmentation_metrics(prediction, truth, len(self.class_names), spacing)
        return [{"class": self.class_names[number]} | values for number, values in measured.items()]

    def _write(self, engine: Engine) -> None:
        print(write_report(self.output_dir, "segmentation", self.rows, summarise_segmentation(self.rows), self.about))


class ClassificationReportHandler(_ReportHandler):
    """Writes ``classification.csv`` (a row per case) and ``classification.json`` (metrics with intervals).

    Args:
        output_dir: folder of the reports.
        class_names: names of the classes.
        about: what else the JSON is to state.
    """

    def _measure(self, output: dict[str, Any]) -> list[dict[str, Any]]:
        probabilities = torch.softmax(output["pred"].as_subclass(torch.Tensor).float(), dim=0).tolist()
        best = int(np.argmax(probabilities))
        row = {"truth": self.class_names[int(output["label"])], "prediction": self.class_names[best]}
        return [row | {f"p_{name}": p for name, p in zip(self.class_names, probabilities, strict=True)}]

    def _write(self, engine: Engine) -> None:
        probabilities = np.array([[row[f"p_{name}"] for name in self.class_names] for row in self.rows])
        truth = np.array([self.class_names.index(row["truth"]) for row in self.rows])
        summary = summarise_classification(probabilities, truth, [row["patient"] for row in self.rows])
        print(write_report(self.output_dir, "classification", self.rows, summary, self.about))
