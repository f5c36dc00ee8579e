# SPDX-License-Identifier: Apache-2.0
"""Training and validation of an algorithm's folder with the segmentation bundle's own configurations."""

from __future__ import annotations

import csv
import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from monai.utils.enums import AlgoKeys

from monai_dino.auto3dseg.algorithms import bundle_settings, require_known
from monai_dino.auto3dseg.comparison_settings import check_path
from monai_dino.commands.bundles import bundles_path
from monai_dino.errors import ConfigurationError, InputError
from monai_dino.files import read_json_object, write_json, written_whole

__all__ = ["PROGRESS", "accepted", "algo_folder", "config_path", "read_yaml", "train", "validate", "write_yaml"]

PROGRESS = "progress.yaml"
_DATA = {"dataset_dir", "datalist", "fold"}
_NAMES = {"num_epochs": "epochs", "num_epochs_per_validation": "val_interval"}
"""What MONAI's own templates call settings of the bundle."""


def train(config_file: str | Sequence[str], **override: Any) -> None:
    """Trains a network and writes ``models``, ``runs/training.csv`` and, when it is done, ``progress.yaml``.

    Args:
        config_file: ``configs/hyper_parameters.yaml`` of the algorithm.
        override: settings of the bundle; those that it does not have are ignored with a warning.

    Raises:
        ConfigurationError: when the configuration file cannot be read, or states what the bundle does not have.
        InputError: when the validation cases leave their Dice undefined.
    """
    folder, settings = _settings(config_file)
    settings |= accepted(override, "train", "training parameters")
    if int(os.environ.get("RANK", "0")) == 0:
        _forget_score(folder)
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    _run(["train", "multi_gpu_train"] if several else ["train"], "train", folder, settings)
    if int(os.environ.get("RANK", "0")) == 0:
        write_yaml(folder / PROGRESS, _progress(folder / "runs" / "training.csv"))


def validate(config_file: str | Sequence[str], **override: Any) -> float:
    """Evaluates the network that was kept on the validation cases, and appends its Dice to ``progress.yaml``.

    The reports go to ``eval``.

    Args:
        config_file: as in :func:`train`.
        override: settings of the bundle's evaluation; those that it does not have are ignored with a warning.

    Returns:
        The mean Dice over classes and cases.

    Raises:
        ConfigurationError: for another split than ``validation``, or a configuration that cannot be read.
        InputError: when it is undefined.
    """
    if override.get("split", "validation") != "validation":
        raise ConfigurationError(
            f"split={override['split']}: an algorithm's score is that of its validation cases; measure others with "
            f"evaluate.json of the bundle dino_segmentation"
        )
    folder, settings = _settings(config_file)
    kept = {name: settings[name] for name in _DATA}
    known = accepted(override, "evaluate", "validation parameters")
    _run(["evaluate"], "infer", folder, kept | known | {"split": "validation"})
    summary = json.loads((folder / "eval" / "segmentation.json").read_text(encoding="utf-8"))["summary"]
    dice = summary["mean" if "mean" in summary else next(iter(summary))]["dice"]["value"]
    if dice is None:
        raise InputError(f"{folder}: the Dice of the validation cases is undefined; no class is in any of their masks")
    known_progress = read_yaml(folder / PROGRESS) if (folder / PROGRESS).is_file() else []
    last = {"validated": True, "best_avg_dice_score": float(dice)}
    write_yaml(folder / PROGRESS, [*known_progress, last])
    return float(dice)


def accepted(override: Mapping[str, Any], config: str, what: str) -> dict[str, Any]:
    """Takes those of a user's parameters that a configuration of the bundle has, and warns of the others.

    Args:
        override: parameters, of other algorithms too.
        config: ``train``, ``evaluate`` or ``inference``.
        what: what the warning calls them.

    Returns:
        Settings of the configuration.
    """
    named = {_NAMES.get(name, name): value for name, value in override.items()}
    known = bundle_settings(config)
    if unknown := sorted(set(named) - known):
        warnings.warn(f"{what} that the bundle does not have are ignored: {', '.join(unknown)}", stacklevel=2)
    return {name: value for name, value in named.items() if name in known}


def algo_folder(config_file: str | Sequence[str]) -> Path:
    """The folder of an algorithm.

    Args:
        config_file: its configuration file, or several.

    Returns:
        The folder that holds ``configs``.
    """
    first = config_file if isinstance(config_file, str) else config_file[0]
    return Path(first).absolute().parent.parent


def config_path(config: str) -> str:
    """The file of a configuration of the segmentation bundle.

    Args:
        config: such as ``train``.

    Returns:
        Its path.
    """
    return str(bundles_path() / "dino_segmentation" / "configs" / f"{config}.json")


def read_yaml(path: str | Path) -> Any:
    """Reads a YAML file.

    Args:
        path: the file.

    Returns:
        Its content.

    Raises:
        ConfigurationError: when it is missing or no YAML.
    """
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{path}: cannot be read ({reason}); generate the algorithms again") from None


def write_yaml(path: Path, content: Any, header: str = "") -> None:
    """Writes a YAML file, whole or not at all.

    Args:
        path: the file.
        content: what YAML can hold.
        header: comment lines before it.
    """
    with written_whole(path) as partial:
        partial.write_text(header + yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _forget_score(folder: Path) -> None:
    """Takes away the score of an earlier training, which AutoRunner would take for that of the new one."""
    (folder / PROGRESS).unlink(missing_ok=True)
    if (state := folder / "algo_object.json").is_file():
        content = read_json_object(state, ConfigurationError, "generate the algorithms again")
        write_json(state, {k: v for k, v in content.items() if k != AlgoKeys.SCORE.value})


def _settings(config_file: str | Sequence[str]) -> tuple[Path, dict[str, Any]]:
    folder = algo_folder(config_file)
    check_path("the algorithm's folder", folder)
    path = folder / "configs" / "hyper_parameters.yaml"
    settings = dict(read_yaml(path))
    require_known(settings.keys() - _DATA, str(path))
    for name in ("datalist", "store_dir"):  # relative to the folder, so that it may be moved
        if name in settings:
            settings[name] = os.path.normpath(folder / settings[name])
    for name in ("dataset_dir", "datalist", "store_dir", "weights"):
        check_path(name, settings.get(name))
    return folder, settings


def _run(configs: Sequence[str], kind: str, folder: Path, settings: Mapping[str, Any]) -> None:
    from monai.bundle import ConfigWorkflow

    files = [config_path(config) for config in configs]
    workflow = ConfigWorkflow(files, logging_file=False, workflow_type=kind, bundle_root=str(folder), **settings)
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def _progress(table: Path) -> list[dict[str, Any]]:
    with table.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row.get("val_mean_dice")]
    progress: list[dict[str, Any]] = []
    best, best_epoch = -math.inf, 0
    for row in rows:
        epoch, dice = int(row["epoch"]), float(row["val_mean_dice"])
        if dice > best:
            best, best_epoch = dice, epoch
        entry = {"epoch": epoch, "loss": float(row["loss"]), "avg_dice_score": dice}
        progress.append(entry | {"best_avg_dice_score": best, "best_avg_dice_score_epoch": best_epoch})
    if not best_epoch:
        raise InputError(
            f"{table}: the Dice of the validation cases was never defined; no class is in any of their masks"
        )
    return progress
