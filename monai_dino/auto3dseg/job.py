# SPDX-License-Identifier: Apache-2.0
"""One training of a comparison: an algorithm on a fold, in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import monai_dino
from monai_dino.auto3dseg.budget import Budget
from monai_dino.auto3dseg.contestants import Contestant
from monai_dino.auto3dseg.network_source import source_digests
from monai_dino.errors import MonaiDinoError
from monai_dino.files import digest, read_json_object, write_json

__all__ = ["FAILURE", "JOB", "RESULT", "Job"]

JOB, RESULT, FAILURE = "job.json", "result.json", "failure.json"
_NO_MATTER = ("datalist", "dataset_dir", "store_dir", "num_workers", "weights")  # for the result; weights by content


@dataclass(frozen=True)
class Job:
    """A training and the predictions that follow it.

    Attributes:
        contestant: the algorithm.
        fold: number of the fold.
        folder: its folder.
        settings: settings of the bundle: ``datalist``, ``weights``, ``seed`` and others.
        volume: ``spacing``, ``window`` and ``batch_size`` for networks in 3-D; ``None`` for pictures.
        budget: the budget.
        cases: items to predict: ``case``, ``image`` and no label.
        weights: digest of the weights that it starts from.
        key: digest of all that the result depends on.
    """

    contestant: Contestant
    fold: int
    folder: Path
    settings: Mapping[str, Any]
    volume: Mapping[str, Any] | None
    budget: Budget
    cases: Sequence[Mapping[str, Any]]
    weights: str | None
    key: str

    @classmethod
    def of(cls, contestant: Contestant, fold: int, folder: Path, data: str, weights: str | None, **rest: Any) -> Job:
        """Makes a job and its key.

        Args:
            contestant: the algorithm.
            fold: number of the fold.
            folder: its folder.
            data: digest of the cases of the fold, their parts, their files and the classes.
            weights: digest of the weights; networks other than the bundle's own depend on it where they refer to it.
            **rest: the other attributes.

        Returns:
            The job.
        """
        starts_from_them = contestant.network is None or "@weights" in json.dumps(contestant.network)
        weights = weights if starts_from_them else None
        settings = {k: v for k, v in rest["settings"].items() if k not in _NO_MATTER}
        matters = {
            "contestant": contestant.plain(),
            "code": source_digests(contestant.network),
            "settings": settings,
            "volume": rest["volume"] if contestant.dims == 3 else None,
            "budget": asdict(rest["budget"]),
            "data": data,
            "weights": weights,
            "version": monai_dino.__version__,
        }
        return cls(contestant, fold, folder, weights=weights, key=digest(matters), **rest)

    def write(self) -> None:
        """Writes ``job.json``, which the process of the job reads."""
        content = asdict(self) | {"contestant": self.contestant.plain(), "folder": str(self.folder)}
        write_json(self.folder / JOB, content)

    @classmethod
    def read(cls, folder: Path) -> Job:
        """Reads the job of a folder.

        Args:
            folder: the folder.

        Returns:
            The job.
        """
        content = read_json_object(folder / JOB, MonaiDinoError, "compare again")
        content |= {
            "contestant": Contestant.from_plain(content["contestant"], str(folder / JOB)),
            "budget": Budget(**content["budget"]),
            "folder": folder,
        }
        return cls(**content)

    def result(self) -> dict[str, Any] | None:
        """The result, where there is one of exactly this job.

        Returns:
            Content of ``result.json``; ``None`` where there is none, it is of other settings or other data, or a
            prediction is not there any more.
        """
        found = _read(self.folder / RESULT)
        if found is None or found.get("key") != self.key:
            return None
        files = [p["file"] for p in found["predictions"].values() if "file" in p]
        return found if all((self.folder / name).is_file() for name in files) else None

    def failure(self) -> str | None:
        """Why it failed, where it wrote that down.

        Returns:
            The reason.
        """
        found = _read(self.folder / FAILURE)
        return str(found["reason"]) if found is not None and found.get("key") == self.key else None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return read_json_object(path, MonaiDinoError, "compare again")
    except MonaiDinoError:
        return None
