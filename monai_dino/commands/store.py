# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_dino store``: builds, continues or verifies a slice store."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_parser"]

_DESCRIPTION = """\
Stores the slices of every case of a datalist, so that trainings read any slice in a fraction of a millisecond
(give them --store_dir STORE_DIR and the same --plane, --modality, --in_channels and --fill). What is there already is
kept; a case whose files were changed is stored again. A build may be interrupted and continued, or run several times at
once.
"""


def add_parser(commands: Any) -> None:
    """Adds the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "store", help="store the slices of a datalist's cases for training", description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("datalist", type=Path, help="the datalist")
    parser.add_argument("store_dir", type=Path, help="folder of the store")
    parser.add_argument("--dataset-dir", type=Path, help="folder of the data (default: that of the datalist)")
    parser.add_argument(
        "--plane", default="axial", choices=("axial", "coronal", "sagittal"), help="plane of the slices"
    )
    parser.add_argument(
        "--modality", choices=("ct", "mr", "us", "xray", "rgb"), help="modality (default: what the datalist states)"
    )
    parser.add_argument("--in-channels", type=int, default=1, help="channels of an image (default: %(default)s)")
    parser.add_argument("--fill", type=float, help="value for voxels that are not finite (default: they are errors)")
    parser.add_argument("--num-workers", type=int, default=2, help="cases at once (default: %(default)s)")
    parser.add_argument(
        "--verify", action="store_true", help="also read every stored slice and every source file again"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from monai_dino.data import SliceStore, load_splits, modality
    from monai_dino.data.verify_store import verify_store

    dataset_dir = options.dataset_dir or options.datalist.parent
    splits = load_splits(options.datalist, dataset_dir, fold=None)
    store = SliceStore(
        [item for items in splits.values() for item in items],
        options.store_dir,
        plane=options.plane,
        in_channels=options.in_channels,
        modality=options.modality or modality(options.datalist, dataset_dir),
        fill=options.fill,
        num_workers=options.num_workers,
    )
    if options.verify:
        verify_store(store)
    slices = sum(case.depth for case in store.stored)
    size = sum(case.path.stat().st_size for case in store.stored)
    print(f"{len(store)} cases with {slices} slices are in {store.store_dir} ({size / 1e6:.1f} MB)")
