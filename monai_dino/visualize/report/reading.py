# SPDX-License-Identifier: Apache-2.0
"""Reads a run folder, whichever workflow wrote it."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_dino.errors import ConfigurationError, InputError, MonaiDinoError
from monai_dino.files import read_json_object
from monai_dino.visualize.report.evaluations import read_evaluation
from monai_dino.visualize.report.run import Problem, Record, Run, StoredFacts

__all__ = ["read_run"]

_SKIPPED = {"docs", "mlruns", "tensorboard", "__pycache__"}
_PICTURES = {".png", ".jpg", ".jpeg", ".webp"}
_STORED = 1000  # cases of a store at most, since each is a file to open
_LOOKED_FOR = (
    "training.csv, knn.csv and verdict.json (a training leaves them in runs/), settings.json (models/), "
    "segmentation.json and classification.json (eval/), predictions.csv (output/), other CSV and JSON reports, pictures"
)


def read_run(folder: str | Path) -> Run:
    """Reads what a training, an evaluation or an inference left in a folder and its folders.

    Nothing outside the folder is read, and nothing is unpickled. A file that cannot be read is among the problems.

    Args:
        folder: that of a bundle (its ``--bundle_root``), or one that holds results.

    Returns:
        The run.

    Raises:
        ConfigurationError: when there is no such folder, or it holds no result.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ConfigurationError(f"{root}: is no folder; give that of a run, such as the --bundle_root of a bundle")
    run = Run(root.resolve())
    for path in _files(run.folder):
        try:
            _take(run, path)
        except (MonaiDinoError, OSError, ValueError, csv.Error) as error:
            run.problems.append(Problem(_inside(run, path), str(error).replace(f"{run.folder}{os.sep}", "")))
    _join_tables(run)
    results = (run.settings, run.curves, run.evaluations, run.predictions, run.tables, run.verdict, run.pictures)
    if not any(results) and not run.problems:
        raise ConfigurationError(
            f"{root}: holds no results of a run; looked for {_LOOKED_FOR} in it and in its folders. Give the folder of "
            f"a bundle that was trained or evaluated, or the one given as --output_dir"
        )
    return run


def _files(root: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in _SKIPPED and not f.startswith("."))
        paths = [Path(place) / name for name in sorted(names) if not name.startswith(".")]
        found += [path for path in paths if not path.is_symlink()]  # which could lead out of the folder
    return found


def _inside(run: Run, path: Path) -> str:
    return path.relative_to(run.folder).as_posix()


def _take(run: Run, path: Path) -> None:
    name, suffix, file = path.name.lower(), path.suffix.lower(), _inside(run, path)
    if path.parent.name.startswith("step_") and name == "state.json":
        _take_state(run, path)
    elif path.parent.name == "configs":
        _take_config(run, path)
    elif name in ("model.pt", "model.safetensors", "model.ts"):
        run.networks.append(file)
    elif suffix == ".json":
        _take_json(run, path, file)
    elif suffix == ".csv":
        run.tables[file] = _rows(path)
    elif suffix in _PICTURES:
        run.pictures.append(file)
    elif name.endswith((".nii", ".nii.gz")):
        run.volumes.append(file)
    elif suffix == ".slices" and len(run.stored) < _STORED:
        run.stored.append(_stored(path))


def _take_json(run: Run, path: Path, file: str) -> None:
    if path.name in ("config.json", "preprocessor_config.json", "manifest.json"):
        return
    content = _json(path)
    if path.name == "settings.json":
        run.settings[file] = content
    elif path.name == "verdict.json":
        if not isinstance(content.get("findings"), list) or "last_step" not in content:
            raise InputError(f"{file}: is no verdict of a training; it lacks findings or last_step")
        run.verdict = content
    elif (evaluation := read_evaluation(file, content)) is not None:
        run.evaluations.append(evaluation)


def _take_state(run: Run, path: Path) -> None:
    step = int(path.parent.name.removeprefix("step_"))
    state = _json(path)
    inner = state.get("state")
    known = inner.get("run") if isinstance(inner, dict) else None
    if isinstance(known, dict) and (run.state is None or run.state["step"] < step):
        run.state = {**known, "step": step}


def _take_config(run: Run, path: Path) -> None:
    if path.name == "metadata.json":
        run.name = str(_json(path).get("name", ""))
    elif path.name == "train.json":
        plain = {k: v for k, v in _json(path).items() if not isinstance(v, dict) and k not in ("imports", "run")}
        run.defaults[_inside(run, path)] = {k: v for k, v in plain.items() if k not in ("initialize", "finalize")}


def _json(path: Path) -> dict[str, Any]:
    return read_json_object(path, InputError, "write it again, or take it away")


def _rows(path: Path) -> list[Record]:
    with path.open(newline="", encoding="utf-8") as stream:
        header, *rows = [*csv.reader(stream)] or [[]]
    return [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]  # one may be cut off


def _stored(path: Path) -> StoredFacts:
    from monai_dino.data.slice_file import SliceFile

    header = SliceFile(path).header
    settings = header.get("settings", {})
    spacing = np.linalg.norm(np.array(header["affine"])[:3, :3], axis=0)
    return StoredFacts(
        str(header["case"]),
        tuple(header["shape"]),
        tuple(float(s) for s in spacing),
        str(settings.get("plane", "")),
        str(settings.get("modality") or ""),
        {str(k): int(n) for k, n in header["label_voxels"].items()},
    )


def _join_tables(run: Run) -> None:
    """Gives each table its meaning: that of an evaluation, of a training, or of predictions."""
    tables = [str(Path(e.file).with_suffix(".csv").as_posix()) for e in run.evaluations]
    run.evaluations = [
        replace(evaluation, rows=run.tables.pop(table, []))
        for evaluation, table in zip(run.evaluations, tables, strict=True)
    ]
    for file, rows in list(run.tables.items()):
        columns = list(rows[0]) if rows else []
        if columns[:1] in (["step"], ["epoch"]):
            run.curves[file] = run.tables.pop(file)
        elif Path(file).name == "predictions.csv" and "case" in columns:
            run.predictions[file] = run.tables.pop(file)
