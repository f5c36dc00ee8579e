# SPDX-License-Identifier: Apache-2.0
"""What a run folder holds, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_dino.evaluation.intervals import Estimate

__all__ = ["Evaluation", "Problem", "Record", "Run", "StoredFacts"]

Record = Mapping[str, str]
"""A row of a CSV file."""


@dataclass(frozen=True)
class Problem:
    """A file that could not be used.

    Attributes:
        file: its path inside the folder.
        what: what is wrong.
    """

    file: str
    what: str


@dataclass(frozen=True)
class Evaluation:
    """Metrics of cases.

    Attributes:
        file: path of the JSON inside the folder.
        about: what it states beside the metrics, such as the part of the datalist.
        interval: what the intervals are.
        summary: group -> metric -> estimate.
        folds: group -> metric -> mean and standard deviation over folds, as text; empty where there are no folds.
        points: of a learning curve, each with ``method``, ``amount``, ``metric``, ``patients`` and ``estimate``.
        rows: of the cases, of the CSV file beside it; none where there is none.
    """

    file: str
    about: Mapping[str, Any]
    interval: str
    summary: Mapping[str, Mapping[str, Estimate]]
    folds: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    points: Sequence[Mapping[str, Any]] = ()
    rows: Sequence[Record] = ()

    @property
    def kind(self) -> str:
        """``segmentation``, ``classification`` or another name of a report."""
        return Path(self.file).stem


@dataclass(frozen=True)
class StoredFacts:
    """What the slice store knows of a case.

    Attributes:
        case: its name.
        shape: (C, H, W, D).
        spacing: in mm, along rows, columns and slices.
        plane: plane of the slices.
        modality: modality, where one is stated.
        labels: class -> voxels, the background included.
    """

    case: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    plane: str
    modality: str
    labels: Mapping[str, int]


@dataclass
class Run:
    """A run folder. Every path is relative to it.

    Attributes:
        folder: the folder.
        name: of the bundle that made it; empty where it is not known.
        settings: file -> settings of a training.
        defaults: file -> top-level values of a configuration; a command line may have set others.
        curves: file -> rows of a training table.
        evaluations: metrics of cases.
        predictions: file -> rows, of unlabelled cases.
        tables: file -> rows, of any other CSV file.
        verdict: of the collapse monitor.
        state: settings of a self-supervised training from its newest checkpoint, with ``steps``, the steps it is to
            have, and ``step``, those it had then.
        networks: files and folders of trained networks.
        pictures: files of pictures.
        volumes: NIfTI files.
        stored: cases of the slice store.
        problems: files that could not be used.
    """

    folder: Path
    name: str = ""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    defaults: dict[str, dict[str, Any]] = field(default_factory=dict)
    curves: dict[str, list[Record]] = field(default_factory=dict)
    evaluations: list[Evaluation] = field(default_factory=list)
    predictions: dict[str, list[Record]] = field(default_factory=dict)
    tables: dict[str, list[Record]] = field(default_factory=dict)
    verdict: dict[str, Any] | None = None
    state: dict[str, Any] | None = None
    networks: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    stored: list[StoredFacts] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def pretraining(self) -> bool:
        """Whether an encoder was trained without labels."""
        columns = {name for rows in self.curves.values() for row in rows[:1] for name in row}
        return self.verdict is not None or self.state is not None or "dino_global" in columns

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, the background of a segmentation first; none where they are not known."""
        for settings in self.settings.values():
            if isinstance(names := settings.get("class_names"), list):
                return [str(name) for name in names]
        return []
