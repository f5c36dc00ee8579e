# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_dino views``: shows what self-supervised training would see."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_parser"]

_DESCRIPTION = """\
Draws slices of the cases of a datalist, as they are and with the boxes of their views, and the views, into one picture.
Blue boxes are global views, yellow ones local, orange ones are guided by the label, whose drawn pixel is a dot.
"""


def add_parser(commands: Any) -> None:
    """Adds the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "views", help="draw the views of slices into a picture", description=_DESCRIPTION
    )
    parser.add_argument("--datalist", type=Path, required=True, help="the datalist")
    parser.add_argument("--dataset-dir", type=Path, help="folder of the data (default: that of the datalist)")
    parser.add_argument(
        "--preset", default="dino-mx", choices=("dino", "dinov2", "dinov3", "dino-mx"),
        help="paper whose views are made (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--plane", default="axial", choices=("axial", "coronal", "sagittal"), help="plane of slices")
    parser.add_argument(
        "--modality", choices=("ct", "mr", "us", "xray", "rgb"), help="modality (default: what the datalist states)"
    )
    parser.add_argument("--in-channels", type=int, default=1, help="channels of an image (default: %(default)s)")
    parser.add_argument("--window", type=float, nargs=2, help="HU of CT, percentiles of MR, grey values of others")
    parser.add_argument("--fill", type=float, help="value for voxels that are not finite (default: they are errors)")
    parser.add_argument("--no-artefacts", action="store_true", help="leave the modality's artefacts out")
    parser.add_argument("--cases", type=int, default=6, help="cases to draw, spread over all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the views (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("views.png"), help="picture (default: %(default)s)")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    import numpy as np
    from PIL import Image
    from tqdm import tqdm

    from monai_dino.data import load_splits, modality
    from monai_dino.errors import ConfigurationError, DatalistError

    if options.cases < 1:
        raise ConfigurationError(f"--cases {options.cases}: expected at least one")
    if options.output.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise ConfigurationError(f"--output {options.output}: expected a picture, such as views.png")
    dataset_dir = options.dataset_dir or options.datalist.parent
    splits = load_splits(options.datalist, dataset_dir, fold=None)
    cases = [item for items in splits.values() for item in items]
    if not cases:
        raise DatalistError(f"{options.datalist}: has no cases; build one with python -m monai_dino datalist")
    count = min(options.cases, len(cases))
    chosen = [cases[int((i + 0.5) * len(cases) / count)] for i in range(count)]
    kind = options.modality or modality(options.datalist, dataset_dir)
    rows = [
        _sheet(item, kind, options, options.seed + i)
        for i, item in enumerate(tqdm(chosen, desc="Drawing", unit="case"))
    ]
    width = max(row.shape[1] for row in rows)
    page = [np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(page)).save(options.output)
    print(f"wrote views of {count} of {len(cases)} cases to {options.output}")


def _sheet(item: dict[Any, Any], kind: Any, options: argparse.Namespace, seed: int) -> Any:
    from monai_dino.transforms import SEED_KEY, BatchedViews, medical_views
    from monai_dino.visualize import view_sheet

    raw, scaled, label = _slice(item, kind, options)
    sample = {"image": raw if kind == "ct" else scaled, SEED_KEY: seed} | ({} if label is None else {"label": label})
    views = medical_views(
        kind,
        options.preset,
        label_key=None if label is None else "label",
        artefacts=not options.no_artefacts,
        window=options.window if kind == "ct" else None,
    )
    batch = BatchedViews(views)([sample])
    stacks = {name: batch[f"image_{name}"][0] for name in ("global", "local")}
    geometry = {
        name: {field: values[0] for field, values in batch["geometry"][f"image_{name}"].items()} for name in stacks
    }
    return view_sheet(scaled, stacks, geometry)


def _slice(item: dict[Any, Any], kind: Any, options: argparse.Namespace) -> tuple[Any, Any, Any]:
    """The slice of a case that has most labels, or else the middle one: as it is, scaled with its volume, its label."""
    import torch

    from monai_dino.data import LoadCased
    from monai_dino.transforms import OrientToPlaned, ScaleIntensityByModality

    case = LoadCased(options.in_channels, options.fill)(item)
    keys = [key for key in ("image", "label") if isinstance(case.get(key), torch.Tensor)]
    case = OrientToPlaned(keys, options.plane)(case)
    image = case["image"]
    label = case["label"] if "label" in keys and case["label"].shape[1:] == image.shape[1:] else None
    k = image.shape[-1] // 2
    if label is not None and bool((label > 0).any()):
        k = int((label > 0).flatten(0, 2).sum(dim=0).argmax())
    scaled = ScaleIntensityByModality(kind, options.window)(image)
    return image[..., k], scaled[..., k], None if label is None else label[..., k]
