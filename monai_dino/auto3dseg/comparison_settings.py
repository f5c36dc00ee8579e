# SPDX-License-Identifier: Apache-2.0
"""The settings of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_dino.auto3dseg.budget import Budget
from monai_dino.auto3dseg.contestants import Task
from monai_dino.errors import ConfigurationError
from monai_dino.evaluation.segmentation import SURFACE_TOLERANCE

__all__ = ["ComparisonSettings", "check_path"]


@dataclass(frozen=True)
class ComparisonSettings:
    """Settings of a comparison.

    Attributes:
        datalist: the datalist; its test set is not touched.
        dataset_dir: folder of the data.
        output: folder of the comparison; one that is there is continued.
        budget: of each training.
        algorithms: names, or JSON files, of algorithms; ``None`` for all.
        weights: weights of our encoders, as :class:`~monai_dino.networks.DinoEncoder` takes them.
        folds: number of folds by patient; ``None`` takes those of the datalist.
        task: ``segmentation`` or ``classification``; ``None`` goes by the labels.
        seed: seed of the splits and of the trainings.
        ensemble: members of the ensemble of each fold; 0 for none.
        postprocessing: whether post-processing is chosen on the validation cases.
        tolerance: of the normalised surface Dice, in mm.
        settings: settings of the bundle for every algorithm, in place of what the analysis suggests.
        num_workers: processes that load and augment.

    Raises:
        ConfigurationError: for a value that cannot work.
    """

    datalist: Path
    dataset_dir: Path
    output: Path
    budget: Budget
    algorithms: Sequence[str] | None = None
    weights: str | None = None
    folds: int | None = None
    task: Task | None = None
    seed: int = 0
    ensemble: int = 3
    postprocessing: bool = True
    tolerance: float = SURFACE_TOLERANCE
    settings: Mapping[str, Any] = field(default_factory=dict)
    num_workers: int = 2

    def __post_init__(self) -> None:
        if self.ensemble < 0 or not self.tolerance > 0:
            raise ConfigurationError(
                f"ensemble={self.ensemble}, tolerance={self.tolerance}: expected members of 0 or more, a tolerance "
                f"above 0"
            )
        for name, value in (("output", self.output), ("weights", self.weights)):
            check_path(name, value)


def check_path(name: str, value: str | Path | None) -> None:
    """Checks that MONAI's configurations can hold a path.

    Args:
        name: what an error calls it.
        value: the path, or a name that is none.

    Raises:
        ConfigurationError: for a # in it, or in the folder that it is relative to, which MONAI reads as a reference.
    """
    if value is not None and "#" in (path := str(Path(value).absolute())):
        raise ConfigurationError(f"{name}: {path} has a #, which MONAI takes for its own; use another path")
