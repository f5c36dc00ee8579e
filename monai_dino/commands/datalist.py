# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_dino datalist``: builds a datalist from folders."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_dino.errors import DatalistError

__all__ = ["add_parser"]

_EPILOG = """\
examples:
  masks in a folder of their own (NAME, or NAME_mask, beside images/NAME):
    python -m monai_dino datalist DATA --images images --masks labels
  masks beside the images (NAME.png, NAME_mask.png):
    python -m monai_dino datalist DATA
  MR sequences as channels (NAME_flair, NAME_t2, NAME_mask), folds by patient:
    python -m monai_dino datalist DATA --channels flair t2 --patient-pattern '(PGBM-\\d+)'
  one folder per class:
    python -m monai_dino datalist DATA --classes folder
  images without labels, for pretraining:
    python -m monai_dino datalist DATA --images images --unlabelled
  classes in a table with the columns image, label (several as Mass|Effusion) and, optionally, patient:
    python -m monai_dino datalist DATA --classes table.csv
"""


def add_parser(commands: Any) -> None:
    """Adds the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "datalist",
        help="build a datalist with folds from folders of images",
        description="Builds a Decathlon/Auto3DSeg datalist from folders of NIfTI files, DICOM series (one folder "
        "each), PNG/JPEG pictures or NumPy files, and says what it found, paired and left out.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset_dir", type=Path, help="folder of the data; paths in the datalist are relative to it")
    parser.add_argument("--images", default=".", help="folder of the images inside dataset_dir (default: all of it)")
    labels = parser.add_mutually_exclusive_group()
    labels.add_argument("--masks", help="folder of the masks inside dataset_dir (default: beside the images)")
    labels.add_argument("--classes", help="'folder' for one folder per class, or a CSV file")
    labels.add_argument("--unlabelled", action="store_true", help="take every image, for pretraining")
    parser.add_argument("--mask-suffix", default="_mask", help="what a mask's name has more (default: %(default)s)")
    parser.add_argument("--channels", nargs="+", default=[], help="endings of the files of a multi-channel image")
    parser.add_argument("--label-names", nargs="+", default=[], help="names of the classes, background first for masks")
    parser.add_argument("--modality", default="", help="modality: ct, mr, us, xray or rgb; training goes by it")
    parser.add_argument("--folds", type=int, help="number of folds (default: 5, none with --unlabelled)")
    parser.add_argument("--test-share", type=float, default=0.0, help="share of the test set (default: none)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split (default: %(default)s)")
    parser.add_argument("--patient-pattern", help="regular expression on the path whose first group is the patient")
    parser.add_argument("--output", type=Path, help="file to write (default: dataset_dir/datalist.json)")
    parser.add_argument("--overwrite", action="store_true", help="replace a datalist that is there")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from monai_dino.data.datalist_builder import build_datalist, write_datalist
    from monai_dino.data.pairing import pair_classes, pair_masks, pair_nothing, pair_table

    root: Path = options.dataset_dir
    images = root / options.images
    if options.channels and options.classes not in (None, "folder"):
        raise DatalistError("--channels: a table of classes names each image itself; leave one of the two out")
    output = options.output or root / "datalist.json"
    if output.exists() and not options.overwrite:
        raise DatalistError(f"{output} is there already; a new split would mix with results of the old (--overwrite)")
    if options.unlabelled:
        pairing = pair_nothing(images, options.mask_suffix, options.channels)
    elif options.classes == "folder":
        pairing = pair_classes(images, options.channels)
    elif options.classes:
        pairing = pair_table(images, _here_or_in(root, options.classes))
    else:
        masks = None if options.masks is None else root / options.masks
        pairing = pair_masks(images, masks, options.mask_suffix, options.channels)
    report = build_datalist(
        pairing,
        root,
        folds=(None if options.unlabelled else 5) if options.folds is None else options.folds,
        test_share=options.test_share,
        seed=options.seed,
        patient_pattern=options.patient_pattern,
        label_names=options.label_names,
        modality=options.modality,
        channels=options.channels,
    )
    write_datalist(report.content, output, options.overwrite)
    print(f"{report}\nwrote      {output}")


def _here_or_in(root: Path, name: str) -> Path:
    return Path(name) if Path(name).is_file() else root / name
