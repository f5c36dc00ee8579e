# SPDX-License-Identifier: Apache-2.0
"""Measures making ten views of a slice against torchvision, batchgeneratorsv2 and MONAI, and writes one page.

python benchmarks/views.py

Peers that are not installed are left out. torchvision needs no build of its own operators for this.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandAdjustContrast,
    RandFlip,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandScaleCrop,
    RandScaleIntensity,
    Resize,
)

from monai_dino.transforms import (
    SEED_KEY,
    BatchedViews,
    RandAdditiveNoise,
    RandBrightnessContrast,
    RandEachViewd,
    RandGaussianBlur,
    RandMultiCrop,
    RandMultiCropd,
    medical_views,
)
from monai_dino.transforms.crops.crop_plan import cut_views

ROOT = Path(__file__).resolve().parent
SIZE = 512
GLOBAL, LOCAL = (2, 224, (0.32, 1.0)), (8, 98, (0.05, 0.32))
BATCH = 16
KEPT: list[Any] = []
P_JITTER, P_BLUR, P_NOISE = 0.8, 0.5, 0.5  # of every view, in every library


def ours() -> Compose:
    """Crop, flip, brightness, contrast, blur and noise with bilinear interpolation."""

    def each() -> list[Any]:
        return [RandBrightnessContrast(P_JITTER), RandGaussianBlur(P_BLUR), RandAdditiveNoise(P_NOISE, std=(0.0, 0.05))]

    crop = RandMultiCropd("image", "dinov2", mode="bilinear")
    return Compose([crop, RandEachViewd("image_global", each()), RandEachViewd("image_local", each())])


def torchvision_views() -> Callable[[torch.Tensor], Any]:
    """The same with torchvision's v2 transforms, view by view."""
    library = torch.library.Library("torchvision", "DEF")  # its Python part asks for these when it is imported
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    KEPT.append(library)
    from torchvision.transforms import v2

    def one(size: int, scale: tuple[float, float]) -> Any:
        return v2.Compose([
            v2.RandomResizedCrop(size, scale=scale, antialias=True),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomApply([v2.ColorJitter(brightness=0.4, contrast=0.4)], P_JITTER),
            v2.RandomApply([v2.GaussianBlur(9, (0.1, 2.0))], P_BLUR),
            v2.RandomApply([v2.GaussianNoise(sigma=0.025, clip=True)], P_NOISE),
        ])  # fmt: skip

    sets = [(count, one(size, scale)) for count, size, scale in (GLOBAL, LOCAL)]
    return lambda image: [torch.stack([views(image) for _ in range(count)]) for count, views in sets]


def batchgenerators_views() -> Callable[[torch.Tensor], Any]:
    """The same with batchgeneratorsv2, view by view: its spatial transform crops, scales and interpolates at once."""
    from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
    from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from batchgeneratorsv2.transforms.utils.random import RandomTransform

    def one(size: int, scale: tuple[float, float]) -> Any:
        low, high = (float(np.sqrt(share)) * SIZE / size for share in scale)
        return ComposeTransforms([
            SpatialTransform(
                (size, size), size // 2, random_crop=True, p_scaling=1, scaling=(low, high),
                p_synchronize_scaling_across_axes=1,
            ),
            MirrorTransform((1,)),
            RandomTransform(MultiplicativeBrightnessTransform((0.6, 1.4), synchronize_channels=True), P_JITTER),
            RandomTransform(ContrastTransform((0.6, 1.4), preserve_range=True, synchronize_channels=True), P_JITTER),
            RandomTransform(GaussianBlurTransform((0.1, 2.0), benchmark=True), P_BLUR),
            RandomTransform(GaussianNoiseTransform((0.0, 0.0025)), P_NOISE),
        ])  # fmt: skip

    sets = [(count, one(size, scale)) for count, size, scale in (GLOBAL, LOCAL)]
    return lambda image: [torch.stack([views(image=image)["image"] for _ in range(count)]) for count, views in sets]


def monai_views(low_pass: bool) -> Callable[[torch.Tensor], Any]:
    """The same with MONAI's transforms, view by view. A random crop of one aspect, since MONAI has no other."""

    def one(size: int, scale: tuple[float, float]) -> Compose:
        low, high = np.sqrt(scale)
        return Compose([
            RandScaleCrop(roi_scale=float(low), max_roi_scale=float(high), random_size=True),
            Resize((size, size), mode="bilinear", anti_aliasing=low_pass),
            RandFlip(0.5, spatial_axis=1),
            RandScaleIntensity(prob=P_JITTER, factors=0.4),
            RandAdjustContrast(prob=P_JITTER, gamma=(0.6, 1.4)),
            RandGaussianSmooth(prob=P_BLUR, sigma_x=(0.1, 2.0), sigma_y=(0.1, 2.0)),
            RandGaussianNoise(prob=P_NOISE, std=0.05),
        ])  # fmt: skip

    sets = [(count, one(size, scale)) for count, size, scale in (GLOBAL, LOCAL)]
    return lambda image: [torch.stack([views(image) for _ in range(count)]) for count, views in sets]


def bare(images: torch.Tensor) -> Any:
    """Ten crops of each slice brought to size and nothing else: what no method can do without."""
    plans = [RandMultiCrop("dinov2").draw(np.random.RandomState(i), (SIZE, SIZE)) for i in range(BATCH)]
    return lambda: [cut_views(list(images), [plan[name] for plan in plans], "bilinear") for name in ("global", "local")]


def interleaved(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds a slice; the methods take turns, so that what else the machine does meets all of them."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number:  # the first round warms up
                taken[name].append(1000 * (time.perf_counter() - start) / BATCH)
    return taken


def main() -> None:
    """Measures and writes results/views.md and results/views.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "views")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = torch.rand(BATCH, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    items = [{"image": image, SEED_KEY: i} for i, image in enumerate(images)]
    views = ours()
    batched = BatchedViews(views)
    calls: dict[str, Callable[[], Any]] = {
        "BatchedViews, 16 slices": lambda: batched(items),
        "its transforms, slice by slice": lambda: [views(item) for item in items],
        "crop and resize alone": bare(images),
    }
    peers: dict[str, Callable[[], Callable[[torch.Tensor], Any]]] = {
        "torchvision v2": torchvision_views,
        "batchgeneratorsv2, no low-pass": batchgenerators_views,
        "MONAI, composed": partial(monai_views, low_pass=True),
        "MONAI, composed, no low-pass": partial(monai_views, low_pass=False),
    }
    for name, make in peers.items():
        if importlib.util.find_spec(name.split(" ")[0].rstrip(",").lower()) is not None:
            calls[name] = partial(lambda one: [one(image) for image in images], make())
    taken = interleaved(calls, options.rounds)
    recipes = {
        modality: (lambda make, data: lambda: make(data))(
            BatchedViews(medical_views(modality, "dinov2")),  # type: ignore[arg-type]
            [item | {"image": item["image"].expand(3 if modality == "rgb" else 1, -1, -1)} for item in items],
        )
        for modality in ("ct", "mr", "us", "xray", "rgb")
    }
    write(options.output, taken, interleaved(recipes, max(options.rounds // 3, 2)))


def write(output: Path, taken: dict[str, list[float]], recipes: dict[str, list[float]]) -> None:
    """The table, and every time."""
    own = statistics.median(taken["BatchedViews, 16 slices"])
    lines = [
        "# Making views",
        "",
        f"Ten views (2 of 224, 8 of 98 pixels) of a float32 slice of {SIZE} x {SIZE}: random crop, antialiased",
        "bilinear resize, horizontal flip, brightness and contrast (p 0.8), Gaussian blur and noise (p 0.5 each).",
        f"One thread, the methods in turn, median of {len(taken['MONAI, composed'])} rounds of {BATCH} slices.",
        "MONAI's crop has one aspect.",
        "",
        "    python benchmarks/views.py",
        "",
        f"PyTorch {torch.__version__}, {platform.machine()}.",
        "",
        "| method | ms a slice | times ours |",
        "|---|---|---|",
    ]
    for name, times in taken.items():
        middle = statistics.median(times)
        lines.append(f"| {name} | {middle:.2f} | {middle / own:.2f} |")
    lines += ["", 'The recipes of `medical_views(..., "dinov2")`, bicubic, with artefacts, by `BatchedViews`:', ""]
    lines += ["| modality | ms a slice |", "|---|---|"]
    lines += [f"| {name} | {statistics.median(times):.2f} |" for name, times in recipes.items()]
    output.with_suffix(".md").write_text("\n".join(lines) + "\n")
    output.with_suffix(".json").write_text(json.dumps({"views": taken, "recipes": recipes}, indent=1) + "\n")
    print("\n".join(lines[11:]))
    print(f"wrote {output.with_suffix('.md')} and .json")


if __name__ == "__main__":
    main()
