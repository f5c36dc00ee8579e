# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_dino compare``: trains algorithms on the same folds with the same budget, and makes one table."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_dino.errors import ConfigurationError

if TYPE_CHECKING:
    from monai_dino.auto3dseg.comparison_settings import ComparisonSettings

__all__ = ["add_arguments", "add_parser", "settings_of"]

_DESCRIPTION = """\
Analyses the data, splits it into folds by patient, trains each algorithm on each fold with an equal budget, predicts
every held-out case, measures all with one evaluator, and writes tables with intervals, paired tests and ranks, a row
for each case, and a page. Stopped at any moment, the same command goes on with the trainings that are not done.
"""
_EPILOG = """\
example:
  python -m monai_dino compare DATA/datalist.json --algorithms dinoguided unet2d segresnet --weights WEIGHTS --folds 3
      --minutes 5 --output comparison
"""


def add_parser(commands: Any) -> None:
    """Adds the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "compare", help="compare algorithms on a data set", description=_DESCRIPTION, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_arguments(parser)
    parser.add_argument("--folds", type=int, help="folds by patient (default: those of the datalist)")
    parser.add_argument("--ensemble", type=int, default=3, help="its members, 0: none (default: %(default)s)")
    parser.set_defaults(run=_run)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of all commands that train algorithms to compare them."""
    parser.add_argument("datalist", type=Path, help="the datalist; its test set is not touched")
    parser.add_argument("--dataset-dir", type=Path, help="folder of the data (default: that of the datalist)")
    parser.add_argument("--output", type=Path, required=True, help="folder of the results; one there is continued")
    parser.add_argument(
        "--algorithms",
        nargs="+",
        metavar="NAME",
        help="names, or JSON files that describe one (default: all)",
    )
    parser.add_argument("--weights", help="weights of our encoders: a Hugging Face folder or hub id, or a checkpoint")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="time of each training, its validations included")
    budget.add_argument("--steps", type=int, help="steps of each training")
    parser.add_argument("--task", choices=("segmentation", "classification"), help="default: what the labels are")
    parser.add_argument("--no-postprocessing", action="store_true", help="measure the networks' masks as they are")
    parser.add_argument("--tolerance", type=float, default=1.0, help="of the surface Dice in mm (default: %(default)s)")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes",
        help="settings of the bundle for all algorithms, such as plane=sagittal image_size=112 slice_size=[48,64]",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of splits and trainings (default: %(default)s)")
    parser.add_argument("--num-workers", type=int, default=2, help="processes that load (default: %(default)s)")


def settings_of(options: argparse.Namespace) -> ComparisonSettings:
    """The settings that were given as arguments of :func:`add_arguments`."""
    from monai_dino.auto3dseg.budget import Budget
    from monai_dino.auto3dseg.comparison_settings import ComparisonSettings

    return ComparisonSettings(
        datalist=options.datalist,
        dataset_dir=options.dataset_dir or options.datalist.parent,
        output=options.output,
        budget=Budget(options.minutes, options.steps),
        algorithms=options.algorithms,
        weights=options.weights,
        task=options.task,
        seed=options.seed,
        postprocessing=not options.no_postprocessing,
        tolerance=options.tolerance,
        settings=dict(_setting(change) for change in options.changes),
        num_workers=options.num_workers,
    )


def _run(options: argparse.Namespace) -> int:
    from monai_dino.auto3dseg.comparison import compare
    from monai_dino.auto3dseg.comparison_files import as_markdown, write_comparison

    comparison = compare(replace(settings_of(options), folds=options.folds, ensemble=options.ensemble))
    written = write_comparison(comparison)
    print(as_markdown(comparison))
    print("wrote " + ", ".join(str(path) for path in written))
    return int(all(not standing.rows for standing in comparison.standings))


def _setting(change: str) -> tuple[str, Any]:
    key, equals, value = change.partition("=")
    if not (key and equals):
        raise ConfigurationError(f"--set {change}: expected KEY=VALUE, such as image_size=112")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value  # a word
