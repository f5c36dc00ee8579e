# SPDX-License-Identifier: Apache-2.0
"""The settings of the segmentation bundle that an algorithm and an analysis of the data give."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from monai_dino.auto3dseg.geometry import in_plane, shared_window, slice_plane
from monai_dino.auto3dseg.hardware import batch_size
from monai_dino.auto3dseg.intensities import modality_name, modality_window
from monai_dino.commands.bundles import bundles_path
from monai_dino.data import class_names, find_datalist
from monai_dino.data.datalist_file import read_datalist
from monai_dino.data.formats import PICTURE_SUFFIXES
from monai_dino.errors import ConfigurationError, DatalistError, InputError

__all__ = [
    "bundle_overrides",
    "bundle_settings",
    "require_known",
    "template_names",
    "template_settings",
    "templates_path",
]

_BUNDLE = "dino_segmentation"
_OWN = {"bundle_root", "dataset_dir", "datalist", "fold", "out_channels", "ckpt_dir", "output_dir"}
_STEPS = {"imports", "handlers", "initialize", "run"}  # of a configuration; no settings
_IMAGE_STEP = 112  # patches of 8, 14 and 16 pixels all divide it, so the weights need not be known yet
_LARGEST_IMAGE = {"cpu": 2 * _IMAGE_STEP, "cuda": 4 * _IMAGE_STEP}
_EPOCH = (256, 2048)  # slices: fewer are not worth a validation, more delay it


def templates_path() -> str:
    """The folder of the algorithm templates, for ``AutoRunner(templates_path_or_url=...)``.

    Returns:
        Its path.
    """
    return str(Path(__file__).parent / "templates")


def template_names() -> list[str]:
    """The algorithms that there are.

    Returns:
        Their names, sorted.
    """
    return sorted(p.name for p in Path(templates_path()).iterdir() if (p / "scripts" / "algo.py").is_file())


def template_settings(name: str) -> dict[str, Any]:
    """What makes an algorithm: the settings of its template, before any data is known.

    Args:
        name: such as ``dinounet``.

    Returns:
        Settings of ``dino_segmentation/configs/train.json``.

    Raises:
        ConfigurationError: when there is no such algorithm.
    """
    if name not in template_names():
        raise ConfigurationError(f"algorithm: unknown {name!r}, expected one of {', '.join(template_names())}")
    path = Path(templates_path()) / name / "configs" / "hyper_parameters.yaml"
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def bundle_settings(config: str = "train") -> set[str]:
    """The settings of a configuration of the segmentation bundle that a user may choose.

    Args:
        config: ``train``, ``evaluate`` or ``inference``.

    Returns:
        Their names.
    """
    content = json.loads((bundles_path() / _BUNDLE / "configs" / f"{config}.json").read_text(encoding="utf-8"))
    return {name for name, value in content.items() if not isinstance(value, dict)} - _OWN - _STEPS


def require_known(settings: Iterable[str], where: str) -> None:
    """Checks that the training has every setting that a user names.

    Args:
        settings: names of settings.
        where: where they are stated.

    Raises:
        ConfigurationError: for names that it does not have, which would do nothing.
    """
    known = bundle_settings()
    for name in settings:
        if name not in known:
            similar = difflib.get_close_matches(name, known, n=1)
            raise ConfigurationError(
                f"{where}: the bundle has no setting {name!r}"
                + (f"; did you mean {similar[0]}?" if similar else f"; it has {', '.join(sorted(known))}")
            )


def bundle_overrides(datastats: Mapping[str, Any] | str | Path, source: Mapping[str, Any]) -> dict[str, Any]:
    """Fills in the settings of the segmentation bundle from MONAI's analysis of the data.

    Settings of the bundle that ``source`` states (``weights``, ``plane``, ``epochs``, ...) win over what the analysis
    suggests.

    Args:
        datastats: the report of :class:`monai.apps.auto3dseg.DataAnalyzer` (``datastats.yaml``), or its path.
        source: the input of ``AutoRunner``: ``modality``, ``datalist`` and ``dataroot``, and any setting of the bundle.

    Returns:
        ``modality``, ``window``, ``in_channels``, ``class_names``, ``plane``, ``slice_size``, ``image_size``,
        ``batch_size``, ``samples_per_epoch``, and the stated settings.

    Raises:
        ConfigurationError: for a modality that is not known, or classes that overlap (``sigmoid``).
        DatalistError: when the datalist declares fewer classes than the masks hold.
        InputError: when the images differ in their channels, or the masks hold no classes.
    """
    given = isinstance(datastats, Mapping)
    report: Any = datastats if given else yaml.safe_load(Path(str(datastats)).read_text(encoding="utf-8"))
    if source.get("sigmoid"):
        raise ConfigurationError("sigmoid: the algorithms predict one class for each voxel; remove it from the input")
    summary = report["stats_summary"]
    image = summary["image_stats"]
    modality = modality_name(str(source["modality"]))
    plane = source.get("plane") or slice_plane(image["spacing"]["median"], image["shape"]["median"])
    window = shared_window(image, plane)
    size = _image_size(window or in_plane(image["shape"]["median"], plane))
    depth = in_plane(image["shape"]["median"], plane, across=True)[0]
    found = {
        "modality": modality,
        "window": modality_window(modality, summary),
        "in_channels": _channels(image["channels"]),
        "class_names": _class_names(summary, source),
        "plane": plane,
        "slice_size": window,
        "image_size": size,
        "batch_size": batch_size(size),
        "samples_per_epoch": int(min(max(summary["n_cases"] * depth, _EPOCH[0]), _EPOCH[1])),
    }
    known = bundle_settings() - {"modality", "class_names"}
    return found | {name: value for name, value in source.items() if name in known}


def _image_size(sides: Sequence[float]) -> int:
    largest = _LARGEST_IMAGE["cuda" if torch.cuda.is_available() else "cpu"]
    return min(-(-int(max(sides)) // _IMAGE_STEP) * _IMAGE_STEP, largest)


def _channels(stats: Mapping[str, Any]) -> int:
    if stats["min"] != stats["max"]:
        raise InputError(
            f"the images have from {stats['min']} to {stats['max']} channels; the datalist must list images alike"
        )
    return int(stats["max"])


def _class_names(summary: Mapping[str, Any], source: Mapping[str, Any]) -> list[str]:
    labels = [int(value) for value in summary.get("label_stats", {}).get("labels", [])]
    if labels == [0, 255] and _are_pictures(source):
        labels = [0, 1]  # as a training reads them
    if not labels or max(labels) < 1 or min(labels) < 0:
        raise InputError(f"the masks hold the values {labels}; at least one class above 0 is needed, and none below")
    try:
        names = class_names(source["datalist"], source["dataroot"])
    except DatalistError:  # Auto3DSeg does not ask for names
        return ["background", *(f"class {k}" for k in range(1, max(labels) + 1))]
    if len(names) <= max(labels):
        raise DatalistError(f"{source['datalist']}: declares {len(names)} classes, but masks hold class {max(labels)}")
    return names


def _are_pictures(source: Mapping[str, Any]) -> bool:
    items = read_datalist(find_datalist(source["datalist"], source["dataroot"])).get("training") or []
    masks = [str(item.get("label")).lower() for item in items if isinstance(item, Mapping)]
    return bool(masks) and all(mask.endswith(PICTURE_SUFFIXES) for mask in masks)
