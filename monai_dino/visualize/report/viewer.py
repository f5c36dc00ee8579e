# SPDX-License-Identifier: Apache-2.0
"""Slices of a volume to move through, with the outlines of masks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from monai_dino.visualize.report.elements import Html, join, tag
from monai_dino.visualize.report.pictures import PictureBudget

__all__ = ["Volume", "slice_viewer"]

_LARGEST = 384  # pixels of a slice's longer side in the page


@dataclass(frozen=True)
class Volume:
    """A volume ready to be drawn.

    Attributes:
        name: the case.
        image: in [0, 1], shape (H, W, D) or (H, W, D, 3).
        spacing: size of a voxel along rows and columns, for the proportions.
        masks: ``truth`` and ``prediction``, where they are there: class numbers, shape (H, W, D).
    """

    name: str
    image: np.ndarray
    spacing: tuple[float, float] = (1.0, 1.0)
    masks: Mapping[str, np.ndarray] = field(default_factory=dict)


def slice_viewer(
    volume: Volume, budget: PictureBudget, class_names: Sequence[str] = (), slices: int = 20, caption: str = ""
) -> Html:
    """Draws slices of a volume with a slider; the outlines of each mask can be switched off.

    Of many slices some are taken, evenly spread over those in which a mask has a label and a few beyond.

    Args:
        volume: image and masks.
        budget: what pictures may still take.
        class_names: names of the classes, the background first.
        slices: slices at most.
        caption: what is said of the case.

    Returns:
        A figure, with the slice of the largest mask in view; the slider takes arrow keys.
    """
    chosen = _chosen(volume, slices)
    layers = []
    for k in chosen:
        uri = budget.array(_picture(volume.image[:, :, k]))
        if uri is None:
            break
        layers.append(_layer(volume, k, uri))
    heading = tag("figcaption", tag("h4", volume.name), caption or None)
    if not layers:
        return tag(
            "figure", heading, tag("p", "Left out: the page has reached its limit of pictures."), class_="viewer"
        )
    chosen = chosen[: len(layers)]
    start = _largest(volume, chosen)
    depth = volume.image.shape[2]
    labels = [f"slice {k + 1} of {depth}" for k in chosen]
    groups = [
        tag("g", layer, class_="slice", hidden=i != start, data_label=labels[i]) for i, layer in enumerate(layers)
    ]
    height, width = _size(volume)
    drawing = tag("svg", *groups, viewBox=f"0 0 {width:.2f} {height:.2f}", role="img",
                  aria_label=f"{volume.name}, {labels[start]}")  # fmt: skip
    slider = None
    if len(layers) > 1:
        entry = tag("input", type="range", min=0, max=len(layers) - 1, step=1, value=start, class_="slider",
                    aria_valuetext=labels[start])  # fmt: skip
        slider = tag("label", tag("span", "Slice", class_="unseen"), entry)
    state = tag("output", labels[start]) if depth > 1 else None
    switches = [_switch(name) for name in volume.masks]
    controls = tag("div", slider, state, *switches, class_="controls") if depth > 1 or switches else None
    return tag("figure", heading, drawing, controls, _legend(volume, class_names), class_="viewer")


def _size(volume: Volume) -> tuple[float, float]:
    return volume.image.shape[0] * volume.spacing[0], volume.image.shape[1] * volume.spacing[1]


def _chosen(volume: Volume, slices: int) -> list[int]:
    depth = volume.image.shape[2]
    inside = [k for k in range(depth) if any((m[:, :, k] > 0).any() for m in volume.masks.values())]
    around = max((inside[-1] - inside[0] + 1) // 8, 1) if inside else 0
    first, last = (max(inside[0] - around, 0), min(inside[-1] + around, depth - 1)) if inside else (0, depth - 1)
    count = min(slices, last - first + 1)
    return sorted({round(first + (i + 0.5) * (last - first + 1) / count - 0.5) for i in range(count)})


def _largest(volume: Volume, chosen: Sequence[int]) -> int:
    sizes = [sum(int((m[:, :, k] > 0).sum()) for m in volume.masks.values()) for k in chosen]
    return int(np.argmax(sizes)) if any(sizes) else len(chosen) // 2


def _picture(image: np.ndarray) -> np.ndarray:
    from skimage.transform import resize

    scale = _LARGEST / max(image.shape[:2])
    if scale < 1:
        image = resize(image, (max(round(image.shape[0] * scale), 1), max(round(image.shape[1] * scale), 1)))
    return np.asarray((np.nan_to_num(image).clip(0, 1) * 255).round(), dtype=np.uint8)


def _layer(volume: Volume, k: int, uri: str) -> Html:
    height, width = _size(volume)
    size = {"width": f"{width:.2f}", "height": f"{height:.2f}"}
    parts = [tag("image", href=uri, preserveAspectRatio="none", **size)]
    for name, mask in volume.masks.items():
        parts.append(tag("g", *_outlines(mask[:, :, k], volume.spacing), class_=f"mask {name}"))
    return join(parts)


def _outlines(mask: np.ndarray, spacing: tuple[float, float]) -> list[Html]:
    from skimage.measure import find_contours

    paths = []
    for number in sorted(set(np.unique(mask).tolist()) - {0}):
        padded = np.pad((mask == number).astype(float), 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lines = find_contours(padded, 0.5)
        # A pixel's centre is half a pixel in, and the padding one pixel out.
        strokes = [[((x - 0.5) * spacing[1], (y - 0.5) * spacing[0]) for y, x in line] for line in lines]
        d = " ".join("M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in stroke) for stroke in strokes)
        paths.append(tag("path", d=d, class_=f"c{(number - 1) % 7}"))
    return paths


def _switch(name: str) -> Html:
    line = "dashed" if name == "prediction" else "solid"
    box = tag("input", type="checkbox", checked=True, data_mask=name)
    return tag("label", box, f"{name} ({line})", class_="switch")


def _legend(volume: Volume, class_names: Sequence[str]) -> Html | None:
    found: set[int] = set()
    for mask in volume.masks.values():
        found |= set(np.unique(mask).tolist()) - {0}
    if not found:
        return None
    names = [
        tag("span", tag("span", class_=f"swatch c{(n - 1) % 7}", aria_hidden="true"),
            class_names[n] if n < len(class_names) else f"class {n}", class_="key")
        for n in sorted(found)
    ]  # fmt: skip
    return tag("p", *names, class_="legend")
