# SPDX-License-Identifier: Apache-2.0
"""Measures how exact the encoders are, and counts the parameters of networks, and writes one table.

python benchmarks/encoders.py --weights WEIGHTS
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from monai_dino.networks import DinoEncoder, DinoSegmenter, adapt, count_parameters
from monai_dino.networks.encoders.channels import IMAGENET_MEAN, IMAGENET_STD

ROOT = Path(__file__).resolve().parent.parent
FULL_SIZE = ("dino_vits16", "dinov2_small", "dinov2_small_reg", "dinov3_vits16")
SIZES = ((224, 224), (518, 518), (224, 322))


def folding_error(original: DinoEncoder, folded: DinoEncoder, size: tuple[int, int]) -> float:
    """Largest difference of the last hidden states: one raw channel against three normalised ones."""
    height, width = (side - side % original.patch_size for side in size)
    x = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        expected, found = original((x.repeat(1, 3, 1, 1) - mean) / std), folded(x)
    return max(float((a - b).abs().max()) for a, b in zip(found[:3], expected[:3], strict=True) if a.numel())


def folding(arch: str, weights: Path | None) -> list[str]:
    """Rows of the table of one architecture, with random weights or real ones."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        if weights is None:
            original = DinoEncoder(arch, in_channels=3).eval()
            original.backbone.save_pretrained(folder)  # as a foreign folder, which says nothing of its input
            folded = DinoEncoder(in_channels=1, weights=folder).eval()
        else:
            original = DinoEncoder(in_channels=3, weights=weights, image_mean=0, image_std=1).eval()
            folded = DinoEncoder(in_channels=1, weights=weights).eval()
    kind = "random" if weights is None else "real"
    return [f"| {arch} | {kind} | {h} x {w} | {folding_error(original, folded, (h, w)):.1e} |" for h, w in SIZES]


def parameters() -> list[str]:
    """Rows of the table of trainable parameters."""
    with torch.device("meta"):
        nets = {
            "U-Net decoder on ViT-L, 1 class": DinoSegmenter("dinov2_large", "unet", 1, 1),
            "U-Net decoder on ViT-g, 1 class": DinoSegmenter("dinov2_giant", "unet", 1, 1),
            "linear decoder on ViT-S, 3 classes": DinoSegmenter("dinov2_small", "linear", 1, 3),
        }
    rows = [f"| {name} | {count_parameters(net).trainable:,} |" for name, net in nets.items()]
    return [*rows, f"| LoRA of rank 3 on ViT-S | {adapt(DinoEncoder('dinov2_small'), 'lora', rank=3).trainable:,} |"]


def main() -> None:
    """Reads the command line, measures, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="Hugging Face folder of a DINOv2 small")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "encoders.md")
    options = parser.parse_args()
    rows = [row for arch in FULL_SIZE for row in folding(arch, None)]
    if options.weights is not None:
        rows += folding("dinov2_small", options.weights)
    lines = [
        "# Encoders: exactness and size",
        "",
        "`python benchmarks/encoders.py --weights WEIGHTS`",
        "",
        "One channel in [0, 1] through the folded encoder against the channel replicated and normalised through the",
        "encoder with three channels: largest difference of the last hidden states, float32. Sizes are cut to whole",
        "patches. Against the original code, see the golden numbers in `tests/networks/encoders/test_encoder.py`.",
        "",
        "| architecture | weights | image | largest difference |",
        "|---|---|---|---|",
        *rows,
        "",
        "| what is trained | parameters |",
        "|---|---|",
        *parameters(),
        "",
    ]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(lines))
    print(options.output.read_text() + f"\nwrote {options.output}")


if __name__ == "__main__":
    main()
