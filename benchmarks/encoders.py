# SPDX-License-Identifier: Apache-2.0
"""Measures how exact the encoders are, and counts the parameters of networks, and writes one table.

python benchmarks/encoders.py --weights WEIGHTS --golden GOLDEN
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from monai_dino.networks import DinoEncoder, DinoSegmenter, adapt, count_parameters
from monai_dino.networks.encoders.channels import IMAGENET_MEAN, IMAGENET_STD

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "fixtures" / "golden"
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


def golden(path: Path) -> list[str]:
    """Rows of the table of one set of numbers that the original code computed: CLS, register and patch tokens."""
    arch = json.loads((GOLDEN / "architectures.json").read_text())[path.stem]
    content, rows = load_file(path), []
    with tempfile.TemporaryDirectory() as folder:
        state = {k.removeprefix("state."): v for k, v in content.items() if k.startswith("state.")}
        save_file(state, Path(folder) / "original.safetensors")
        encoder = DinoEncoder(arch, 3, Path(folder) / "original.safetensors", image_mean=0, image_std=1).eval()
    for size in sorted(k.removeprefix("input_") for k in content if k.startswith("input_")):
        x, mask = content[f"input_{size}"].float() / 32 - 4, content.get(f"mask_{size}")
        with torch.no_grad():
            found = {"": encoder(x)} | ({} if mask is None else {"masked_": encoder(x, mask)})
        for kind, tokens in found.items():
            values = tokens._asdict() | {"output": torch.cat([tokens.cls[:, None], tokens.patches], dim=1)}
            pairs = [(v, content[f"{kind}{k}_{size}"]) for k, v in values.items() if f"{kind}{k}_{size}" in content]
            error = max(float((a - b).abs().max()) for a, b in pairs)
            rows.append(f"| {path.stem.removeprefix('encoder_')} | {size} | {'yes' if kind else 'no'} | {error:.1e} |")
    return rows


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
    parser.add_argument("--golden", type=Path, default=GOLDEN, help="folder of encoder_*.safetensors")
    options = parser.parse_args()
    rows = [row for arch in FULL_SIZE for row in folding(arch, None)]
    if options.weights is not None:
        rows += folding("dinov2_small", options.weights)
    lines = [
        "# Encoders: exactness and size",
        "",
        "`python benchmarks/encoders.py --weights WEIGHTS --golden GOLDEN`",
        "",
        "One channel in [0, 1] through the folded encoder against the channel replicated and normalised through the",
        "encoder with three channels: largest difference of the last hidden states, float32. Sizes are cut to whole",
        "patches.",
        "",
        "| architecture | weights | image | largest difference |",
        "|---|---|---|---|",
        *rows,
        "",
        "Tiny networks with the original state dicts against what the original code computed, float32:",
        "",
        "| network | image | masked | largest difference |",
        "|---|---|---|---|",
        *(row for path in sorted(options.golden.glob("encoder_*.safetensors")) for row in golden(path)),
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
