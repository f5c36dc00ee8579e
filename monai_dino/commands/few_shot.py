# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_dino few-shot``: trains algorithms on few patients, and draws how much more patients help."""

from __future__ import annotations

import argparse
from typing import Any

from monai_dino.commands.compare import add_arguments, settings_of

__all__ = ["add_parser"]

_DESCRIPTION = """\
Draws few patients, several times, trains each algorithm on them, and measures it on other patients, the same for all.
Writes a table and a picture of what each reaches with how many patients. Of the patients of a draw a quarter select,
and one at least. Stopped at any moment, the same command goes on with the trainings that are not done.
"""
_EPILOG = """\
example:
  python -m monai_dino few-shot DATA/datalist.json --algorithms dinoguided unet2d unet3d --weights WEIGHTS
      --shots 4 16 64 --steps 300 --output few_shot
"""


def add_parser(commands: Any) -> None:
    """Adds the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "few-shot", help="compare algorithms that learn from few patients", description=_DESCRIPTION, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_arguments(parser)
    parser.add_argument(
        "--shots", type=int, nargs="*", default=[2, 4, 8, 16], help="patients, of each class where there are classes"
    )
    parser.add_argument("--shares", type=float, nargs="*", default=[], help="shares of the patients, up to 1")
    parser.add_argument("--draws", type=int, default=3, help="of each amount (default: %(default)s)")
    parser.add_argument("--test-share", type=float, default=0.25, help="of the patients (default: %(default)s)")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from monai_dino.auto3dseg.few_patients import few_patients

    settings = settings_of(options)
    curve = few_patients(settings, options.shots, options.shares, options.draws, options.test_share)
    print(curve.write(settings.output))
    picture = settings.output / "few_shot.png"
    curve.plot(picture)
    print(f"wrote {picture}")
    return 0
