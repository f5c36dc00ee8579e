# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_dino report``: writes one HTML page about a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_parser"]

_DESCRIPTION = """\
Writes one HTML page about a run folder: what failed first, then metrics with intervals, sample predictions, curves,
attention and PCA maps, data and configuration. The page holds all it shows and opens from disk without a network.
"""


def add_parser(commands: Any) -> None:
    """Adds the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "report", help="write one HTML page about a run", description=_DESCRIPTION
    )
    parser.add_argument("run_dir", type=Path, help="folder of the run, such as the --bundle_root of a bundle")
    parser.add_argument("--output", type=Path, help="page to write (default: RUN_DIR/report.html)")
    parser.add_argument("--dataset-dir", type=Path, help="folder of the data, to show images (default: show none)")
    parser.add_argument("--datalist", type=Path, help="its datalist (default: the one that the run's settings name)")
    parser.add_argument("--cases", type=int, default=4, help="cases drawn of each kind (default: %(default)s)")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from monai_dino.errors import ConfigurationError
    from monai_dino.visualize.report import write_run_report

    if options.output is not None and options.output.suffix.lower() not in (".html", ".htm"):
        raise ConfigurationError(f"--output {options.output}: expected a page, such as report.html")
    if options.datalist is not None and options.dataset_dir is None:
        raise ConfigurationError("--datalist: names the cases of a folder of data; give that too (--dataset-dir)")
    page = write_run_report(options.run_dir, options.output, options.dataset_dir, options.datalist, options.cases)
    print(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB); open it in a browser")
