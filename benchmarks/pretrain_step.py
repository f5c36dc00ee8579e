# SPDX-License-Identifier: Apache-2.0
"""Times a DINOv2 step against the same step built of the parts of lightly, in turn, in one process.

    pip install --no-deps lightly lightly-utils timm torchvision pytorch-lightning lightning-utilities torchmetrics \\
        hydra-core omegaconf antlr4-python3-runtime
    python benchmarks/pretrain_step.py
    python benchmarks/pretrain_step.py --device cuda --batch-size 64 --rounds 20 --output FILE

ViT-S/14 with one channel, 2 views of 224 and 8 of 98 pixels, two heads of 65536 prototypes, softmax centring (lightly
has no other), KoLeo, AdamW, the teacher's average, no drop path; batches are made beforehand.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from monai_dino.inferers.autocast import autocast
from monai_dino.networks import DinoEncoder, adapt
from monai_dino.ssl import SelfDistillation, build_optimizer
from monai_dino.ssl.parameter_groups import set_step_values
from monai_dino.ssl.schedules import Schedules
from monai_dino.transforms import RandBlockMask

ROOT = Path(__file__).resolve().parent
PROTOTYPES, LOCAL = 65536, 8
# torchvision has no build beside torch's for CPUs; with these defined, its Python parts can be imported.
if not torch.cuda.is_available():
    TORCHVISION = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        TORCHVISION.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def batch_of(images: int, device: torch.device) -> dict[str, torch.Tensor]:
    mask = RandBlockMask(14).set_random_state(0)(torch.empty(2 * images, 1, 224, 224))
    return {
        "image_global": torch.rand(images, 2, 1, 224, 224, device=device),
        "image_local": torch.rand(images, LOCAL, 1, 98, 98, device=device),
        "patch_mask": mask.unflatten(0, (images, 2)).to(device),
    }


def ours(batch: dict[str, torch.Tensor]) -> Callable[[str], torch.Tensor]:
    torch.manual_seed(0)
    encoder = DinoEncoder("dinov2_small")
    adapt(encoder, "full")
    device = batch["image_global"].device
    network = SelfDistillation(encoder, "dinov2", batch_size=64, centering="softmax", drop_path=0.0).train().to(device)
    optimizer = build_optimizer(network.student, network.settings)
    values = Schedules(network.settings, 100)(50)

    def step(precision: Any) -> torch.Tensor:
        set_step_values(optimizer, values)
        optimizer.zero_grad()
        with autocast(precision, device):
            loss, _ = network(batch, values.teacher_temp)
        loss.backward()
        for part in network.student.children():
            torch.nn.utils.clip_grad_norm_(part.parameters(), 3.0)
        optimizer.step()
        network.update_teacher(values.momentum)
        return loss

    return step


def of_lightly(batch: dict[str, torch.Tensor]) -> Callable[[str], torch.Tensor]:
    """The step of lightly's DINOv2 example, with its parts."""
    import timm
    from lightly.loss import DINOLoss, IBOTPatchLoss, KoLeoLoss
    from lightly.models.modules import DINOProjectionHead, MaskedVisionTransformerTIMM
    from lightly.models.utils import update_momentum

    device = batch["image_global"].device

    def network() -> torch.nn.ModuleList:
        torch.manual_seed(0)
        vit = timm.create_model("vit_small_patch14_dinov2", in_chans=1, dynamic_img_size=True)
        encoder = MaskedVisionTransformerTIMM(vit, antialias=False, pos_embed_initialization="skip")
        heads = [DINOProjectionHead(384, 2048, 256, PROTOTYPES, norm_last_layer=False) for _ in range(2)]
        return torch.nn.ModuleList([encoder, *heads]).to(device)

    student, teacher = network(), network().requires_grad_(False)
    losses = DINOLoss(PROTOTYPES).to(device), IBOTPatchLoss(PROTOTYPES).to(device), KoLeoLoss()
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4, fused=True)
    whole, local = (batch[key].transpose(0, 1).flatten(0, 1) for key in ("image_global", "image_local"))
    block_mask = batch["patch_mask"].transpose(0, 1).flatten(0, 1)
    mask = torch.cat([torch.zeros_like(block_mask[:, :1]), block_mask], dim=1)

    def step(precision: Any) -> torch.Tensor:
        optimizer.zero_grad()
        with autocast(precision, device):
            with torch.no_grad():
                taught = teacher[0].encode(whole)
                teacher_cls, teacher_patches = teacher[1](taught[:, 0]), teacher[2](taught[mask])
            seen, small = student[0].encode(whole, mask=mask), student[0].encode(local)
            cls = [*student[1](seen[:, 0]).chunk(2), *student[1](small[:, 0]).chunk(LOCAL)]
            loss = losses[0](teacher_cls.chunk(2), cls, teacher_temp=0.05)
            loss = loss + losses[1](
                teacher_patches, student[2](seen[mask]), mask=block_mask.unflatten(1, (16, 16)), teacher_temp=0.05
            )
            loss = loss + 0.1 * sum(losses[2](part) for part in seen[:, 0].chunk(2))
        loss.backward()
        for part in student:
            torch.nn.utils.clip_grad_norm_(part.parameters(), 3.0)
        optimizer.step()
        for own, theirs in zip(student, teacher, strict=True):
            update_momentum(own, theirs, 0.99)
        return loss

    return step


def peak(device: torch.device, precision: str, seconds: float = 1.0) -> float:
    """Floating point operations a second of a matrix product."""
    size = 8192 if device.type == "cuda" else 2048
    a = torch.rand(size, size, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    timed(lambda: a @ a, device)
    took, count = 0.0, 0
    while took < seconds:
        took += timed(lambda: a @ a, device)
        count += 1
    return count * 2 * size**3 / took


def timed(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds that it takes, to its end on the accelerator."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def precisions_of(device: torch.device) -> str:
    """The machine, in a sentence."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}."
    able = {k for k, v in torch.cpu.get_capabilities().items() if v is True and "bf16" in k}
    return (
        f"{torch.get_num_threads()} threads. The processor computes bf16 in "
        f"{', '.join(sorted(able)) or 'no instruction of its own, so bf16 was not timed'}."
    )


def main() -> None:
    """Measures and writes results/pretrain_step.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "pretrain_step.md")
    options = parser.parse_args()
    batch = batch_of(options.batch_size, options.device)
    methods = {"monai_dino": ours(batch), "lightly's parts": of_lightly(batch)}
    with FlopCounterMode(display=False) as counter:
        methods["monai_dino"]("fp32")
    work = counter.get_total_flops()
    lines = [
        "| precision | method | images a second | of the other | share of the matmul peak |",
        "|---" * 5 + "|",
    ]
    for precision in options.precisions:
        seconds: dict[str, list[float]] = {name: [] for name in methods}
        for number in range(options.rounds + 1):
            for name, step in methods.items():
                took = timed(partial(step, precision), options.device)
                if number:  # the first warms up
                    seconds[name].append(took)
        fastest = peak(options.device, precision)
        median = {name: statistics.median(values) for name, values in seconds.items()}
        for name, other in zip(median, reversed(median), strict=True):
            share = f"{work / median[name] / fastest:.2f}" if name == "monai_dino" else ""
            lines.append(
                f"| {precision} | {name} | {options.batch_size / median[name]:.2f} | "
                f"{median[other] / median[name]:.2f} | {share} |"
            )
            print(lines[-1], flush=True)
    head = [
        "# A step of pretraining",
        "",
        *(line for line in (__doc__ or "").strip().splitlines()),
        "",
        f"Batch {options.batch_size}, median of {options.rounds} steps, "
        f"{work / options.batch_size / 1e9:.0f} GFLOP an image. {precisions_of(options.device)}",
        "",
    ]
    options.output.write_text("\n".join([*head, *lines]) + "\n")
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
