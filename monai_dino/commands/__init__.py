# SPDX-License-Identifier: Apache-2.0
"""The command line: one module per command, none of which imports torch before it has work to do."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from monai_dino import __version__
from monai_dino.commands import bundles, check, compare, datalist, export, few_shot, report, store, views
from monai_dino.errors import MonaiDinoError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: the command line; ``None`` takes that of the process.

    Returns:
        0, or 1 after an error that was printed, or when the command found one.
    """
    parser = argparse.ArgumentParser(
        prog="python -m monai_dino", description="DINO, DINOv2 and DINOv3 for medical images, native to MONAI."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (bundles, datalist, check, store, views, export, report, compare, few_shot):
        module.add_parser(commands)
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("monai_dino").setLevel(logging.INFO)  # of others, warnings alone
    try:
        return int(options.run(options) or 0)
    except MonaiDinoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
