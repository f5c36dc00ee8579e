# SPDX-License-Identifier: Apache-2.0
"""Draws the gallery of transforms, from the images that pydicom and scikit-image bring along.

The documentation calls it; by hand: python docs/gallery.py
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import torch
from monai.transforms import RandBiasField, RandGibbsNoise
from PIL import Image
from pydicom.data import get_testdata_file
from skimage import data

from monai_dino import transforms as t
from monai_dino.data import read_volume
from monai_dino.visualize import view_sheet

FOLDER = Path(__file__).resolve().parent / "_gallery"
HEIGHT, GAP = 240, 4
HU = (-120.0, 200.0)
DETAIL = {"ct": (slice(100, 400), slice(100, 400)), "mr": (slice(70, 250), slice(20, 250))}
"""Part of an image that is shown of grey values, large enough to see what was changed."""


def images() -> dict[str, torch.Tensor]:
    """A slice of each modality: CT in HU, others in [0, 1]."""
    ct = read_volume(Path(_file("J2K_pixelrep_mismatch.dcm"))).as_tensor()[..., 0].mT.float()
    mr = torch.from_numpy(pydicom.dcmread(_file("examples_overlay.dcm")).pixel_array.astype(np.float32))[None]
    us = torch.from_numpy(_cine()[5])[None]
    rgb = torch.from_numpy(data.immunohistochemistry()).permute(2, 0, 1) / 255
    us, mr = (us / us.quantile(0.99)).clamp(0, 1) ** 0.7, (mr / mr.quantile(0.995)).clamp(0, 1)
    return {"ct": ct, "mr": mr, "us": us, "rgb": rgb}


def _cine() -> np.ndarray:
    """Frames of an echocardiogram, without the bar of buttons below."""
    frames = pydicom.dcmread(_file("examples_ybr_color.dcm")).pixel_array[:, :226]
    return np.asarray(frames.astype(np.float32).mean(axis=-1))


def _file(name: str) -> str:
    return str(get_testdata_file(name, download=False))


PER_IMAGE = t.RandPerImage
FAN: dict[str, Any] = {"apex": (-0.06, -0.05), "column": 0.53}  # of the echocardiogram, from find_sector
ENTRIES: dict[str, tuple[str, Any]] = {
    "RandCTWindow": ("ct", t.RandCTWindow(1.0, window=HU)),
    "RandQuantumNoise": ("ct", t.RandQuantumNoise(1.0, dose=(0.05, 0.5))),
    "RandStreaks": ("ct", t.RandStreaks(1.0, std=(10.0, 25.0))),
    "RandMotionGhosting": ("mr", t.RandMotionGhosting(1.0, amplitude=(1.5, 2.5))),
    "RandBiasField": ("mr", PER_IMAGE(RandBiasField(prob=1.0, degree=3, coeff_range=(-0.4, 0.4)))),
    "RandGibbsNoise": ("mr", PER_IMAGE(RandGibbsNoise(prob=1.0, alpha=(0.8, 0.9)))),
    "RandKSpaceSpike": ("mr", t.RandKSpaceSpike(1.0, amplitude=(0.05, 0.15))),
    "RandMagnitudeNoise": ("mr", t.RandMagnitudeNoise(1.0, std=(0.03, 0.1))),
    "RandSpeckle": ("us", t.RandSpeckle(1.0)),
    "RandAcousticShadow": ("us", t.RandAcousticShadow(1.0, **FAN)),
    "RandDepthAttenuation": ("us", t.RandDepthAttenuation(1.0, **FAN)),
    "RandTimeGain": ("us", t.RandTimeGain(1.0, **FAN)),
    "RandHaze": ("us", t.RandHaze(1.0, **FAN)),
    "RandReverberation": ("us", t.RandReverberation(1.0, **FAN)),
    "RandSectorShape": ("us", t.RandSectorShape(1.0, **FAN)),
    "RandBrightnessContrast": ("mr", t.RandBrightnessContrast(1.0)),
    "RandGaussianBlur": ("mr", t.RandGaussianBlur(1.0, sigma=(1.0, 3.0))),
    "RandAdditiveNoise": ("mr", t.RandAdditiveNoise(1.0, std=(0.03, 0.1))),
    "RandColorJitter": ("rgb", t.RandColorJitter(1.0)),
    "RandGrayscale": ("rgb", t.RandGrayscale(1.0)),
    "RandSolarize": ("rgb", t.RandSolarize(1.0)),
}


def main() -> None:
    """Writes a picture for each entry, and those of crops, sectors and recipes."""
    FOLDER.mkdir(exist_ok=True)
    found = images()
    sector = torch.from_numpy(t.find_sector(_cine(), cine=True).mask).to(torch.uint8)[None]
    _write("SectorMask", [_tile(found["us"]), _tile(found["us"] * sector)])
    found["us"] = found["us"] * sector
    for name, (kind, transform) in ENTRIES.items():
        image = found[kind]
        results = [transform.set_random_state(seed)(image) for seed in (1, 2, 3)]
        shown = [image, *results]
        if kind == "ct":
            shown = [_window(x) if x.max() > 1 or x.min() < 0 else x for x in shown]
        part = (slice(None), *DETAIL.get(kind, ()))
        _write(name, [_tile(x[part]) for x in shown])
    _views("RandMultiCrop", "ct", found["ct"], t.RandMultiCrop("dinov2"))
    bone = (found["ct"] > 250).to(torch.uint8)
    _views("RandLabelGuidedCrop", "ct", found["ct"], t.RandLabelGuidedCrop("dino-mx"), bone)
    shared = t.RandLabelGuidedCrop(
        "dino-mx", global_views="shared", global_scale=(0.1, 0.3), local_count=0, guided_count=0
    )
    _views("shared_global_views", "ct", found["ct"], shared, bone)
    _views("RandSectorCrop", "us", found["us"], t.RandSectorCrop("dino-mx"), sector)
    _masks("RandBlockMask", found["mr"])
    for kind, image in found.items():
        item = {"image": image, "sector": sector, t.SEED_KEY: 4}
        views = t.medical_views(kind, sector_key="sector" if kind == "us" else None)  # type: ignore[arg-type]
        batch = t.BatchedViews(views)([item])
        stacks = {name: batch[f"image_{name}"][0] for name in ("global", "local")}
        geometry = {n: {k: v[0] for k, v in batch["geometry"][f"image_{n}"].items()} for n in stacks}
        _save(f"medical_views_{kind}", view_sheet(_window(image) if kind == "ct" else image, stacks, geometry))
    print(f"wrote {len(list(FOLDER.glob('*.png')))} pictures to {FOLDER}")


def _views(name: str, kind: str, image: torch.Tensor, crop: t.RandMultiCrop, label: torch.Tensor | None = None) -> None:
    shown = _window(image) if kind == "ct" else image
    stacks = crop.set_random_state(3)(shown, label)
    _save(name, view_sheet(shown, stacks, {n: stack.meta for n, stack in stacks.items()}))  # type: ignore[attr-defined]


def _masks(name: str, image: torch.Tensor) -> None:
    views = t.RandMultiCrop("dinov2", local_count=0).set_random_state(0)(image)["global"]
    masks = t.RandBlockMask(14, prob=1.0).set_random_state(1)(views.repeat(2, 1, 1, 1))
    shown = masks.reshape(-1, 1, 16, 16).float().repeat_interleave(14, 2).repeat_interleave(14, 3)
    _write(name, [_tile(v * (1 - 0.75 * m)) for v, m in zip(views.repeat(2, 1, 1, 1), shown, strict=True)])


def _window(x: torch.Tensor) -> torch.Tensor:
    return ((x - HU[0]) / (HU[1] - HU[0])).clamp(0, 1)


def _tile(image: torch.Tensor) -> np.ndarray:
    values = (torch.as_tensor(image).as_subclass(torch.Tensor).clamp(0, 1) * 255).byte().expand(3, -1, -1)
    picture = Image.fromarray(np.ascontiguousarray(values.permute(1, 2, 0).numpy()))
    return np.asarray(picture.resize((round(HEIGHT * picture.width / picture.height), HEIGHT)))


def _write(name: str, tiles: Sequence[np.ndarray]) -> None:
    padded = [np.pad(tile, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for tile in tiles]
    _save(name, np.concatenate(padded, axis=1))


def _save(name: str, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
