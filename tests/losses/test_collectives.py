# SPDX-License-Identifier: Apache-2.0
"""Two processes with half of the images each against one with all of them."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from two_processes import Tensors, on_two_processes

from monai_dino.losses import DinoLoss, GramLoss, IBotPatchLoss, KoLeoLoss
from monai_dino.losses.centering import CenteredLoss, sinkhorn_knopp
from monai_dino.losses.collectives import all_reduce_max, all_reduce_sum, gather, global_mean

IMAGES, PATCHES, WIDTH, PROTOTYPES = 6, 5, 7, 11
CENTERINGS = ("sinkhorn_knopp", "softmax")
# Masked patches per image: all on the second process; uneven on both; none at all.
MASKS = {"one": [0, 0, 0, 1, 0, 5], "both": [2, 0, 1, 4, 5, 1], "none": [0] * IMAGES}


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(WIDTH, 8), nn.GELU(), nn.Linear(8, PROTOTYPES))


def step(images: slice, centering: str, masked: list[int]) -> Tensors:
    """Losses, targets, centres and parameter gradients of a step on some of the images."""
    torch.manual_seed(0)
    student_views = torch.randn(4, IMAGES, WIDTH)[:, images]
    teacher_views = torch.randn(2, IMAGES, PROTOTYPES)[:, images]
    patches = torch.randn(IMAGES, PATCHES, WIDTH)[images]
    teacher_patches = torch.randn(IMAGES, PATCHES, PROTOTYPES)[images]
    patch_mask = (torch.arange(PATCHES) < torch.tensor(masked)[:, None])[images]

    student = network()
    if dist.is_initialized():
        student = DistributedDataParallel(student)
    dino, ibot = DinoLoss(PROTOTYPES, centering=centering), IBotPatchLoss(PROTOTYPES, centering=centering)
    found: Tensors = {}
    for _ in range(2):  # the second uses the centre of the first
        found["dino_targets"] = dino.targets(teacher_views, 0.07)
        found["ibot_targets"] = ibot.targets(teacher_patches[patch_mask], 0.07)
    features = student(torch.cat([student_views.flatten(0, 1), patches.flatten(0, 1)]))
    views, tokens = features.split([student_views.shape[0] * student_views.shape[1], patches[..., 0].numel()])
    views, tokens = views.unflatten(0, student_views.shape[:2]), tokens.unflatten(0, patches.shape[:2])
    losses = {
        "dino": dino(views, found["dino_targets"]),
        "ibot": ibot(tokens[patch_mask], found["ibot_targets"], patch_mask),
        "koleo": KoLeoLoss()(views[0]) + KoLeoLoss()(views[1]),
        "gram": GramLoss()(tokens, teacher_patches),
    }
    sum(losses.values(), torch.zeros(())).backward()
    found |= {f"loss_{name}": loss.detach() for name, loss in losses.items()}
    found |= {f"gradient_{name.split('.', 1)[-1]}": p.grad for name, p in _named(student)}
    if centering == "softmax":
        found |= {"center_dino": dino.center, "center_ibot": ibot.center}
    return found


def _named(student: nn.Module) -> list[tuple[str, nn.Parameter]]:
    inner = student.module if isinstance(student, DistributedDataParallel) else student
    return [(f"net.{name}", parameter) for name, parameter in inner.named_parameters()]


def steps(images: slice) -> Tensors:
    return {
        f"{centering}.{mask}.{name}": value
        for centering in CENTERINGS
        for mask, masked in MASKS.items()
        for name, value in step(images, centering, masked).items()
    }


def uneven_batches(rows: slice) -> Tensors:
    """What need not be equally many rows on each process."""
    torch.manual_seed(2)
    x = torch.randn(5, WIDTH)[rows].requires_grad_()
    joint = gather(x)
    loss = KoLeoLoss()(x)
    loss.backward()
    assert x.grad is not None
    centered = CenteredLoss(WIDTH, centering="softmax")
    centered.targets(x, 0.1)
    # 1000 on one process, 0 on the other: columns that no row of one process likes
    logits = torch.cat([torch.randn(3, WIDTH) + 1000, torch.randn(2, WIDTH)])[rows]
    return {
        "uneven.joint": joint.detach(),
        "uneven.loss_koleo": loss.detach(),
        "uneven.gradient_koleo": x.grad,
        "uneven.center": centered.center,
        "uneven.targets": sinkhorn_knopp(logits, 0.05),
    }


def single_rows(rows: slice) -> Tensors:
    """One image in all, so that a process has none; and a duplicate on the other process."""
    torch.manual_seed(3)
    x = torch.randn(1, WIDTH)
    alone = KoLeoLoss()(x[rows])
    twice = KoLeoLoss()(x.expand(2, WIDTH)[rows])
    return {"single.loss_koleo_alone": alone, "single.loss_koleo_twice": twice}


def helpers() -> Tensors:
    rank = dist.get_rank()
    mine = torch.tensor([1.0, -2.0]) * (rank + 1)
    found = {"sum": all_reduce_sum(mine), "max": all_reduce_max(mine), "mine": mine}
    assert global_mean(torch.zeros(0, 3)) is None
    mean = global_mean(torch.full((1 + 2 * rank, 1), float(rank)))
    assert mean is not None
    return found | {"mean": mean}


def on_one_of_two() -> Tensors:
    rank = dist.get_rank()
    half = (slice(0, IMAGES // 2), slice(IMAGES // 2, IMAGES))[rank]
    return (
        steps(half)
        | uneven_batches((slice(0, 4), slice(4, 5))[rank])
        | single_rows((slice(0, 1), slice(1, 2))[rank])
        | helpers()
    )


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> list[Tensors]:
    return on_two_processes(on_one_of_two, tmp_path_factory.mktemp("two"))


def compare(one: Tensors, of_two: list[Tensors]) -> None:
    for name, expected in one.items():
        first, second = (found[name] for found in of_two)
        kind = name.rsplit(".", 1)[-1]
        named = f"{name}: {{}}".format
        if "targets" in kind:
            torch.testing.assert_close(torch.cat([first, second], dim=-2), expected, atol=1e-5, rtol=1e-4, msg=named)
        elif kind == "gradient_koleo":  # of the rows, so its parts are summed by the backward pass, not averaged
            torch.testing.assert_close(torch.cat([first, second]) / 2, expected, atol=1e-5, rtol=1e-4, msg=named)
        elif kind.startswith("loss") and "koleo" not in kind:
            torch.testing.assert_close((first + second) / 2, expected, atol=1e-5, rtol=1e-5, msg=named)
        else:  # the same on each
            torch.testing.assert_close(first, expected, atol=1e-5, rtol=1e-4, msg=named)
            torch.testing.assert_close(second, expected, atol=1e-5, rtol=1e-4, msg=named)


def test_two_processes_learn_what_one_learns(of_two: list[Tensors]) -> None:
    one = steps(slice(None))
    assert sum("gradient" in name for name in one) == 4 * len(CENTERINGS) * len(MASKS)
    compare(one, of_two)


def test_uneven_batches(of_two: list[Tensors]) -> None:
    compare(uneven_batches(slice(None)), of_two)


def test_a_row_on_its_own_and_a_duplicate_elsewhere(of_two: list[Tensors]) -> None:
    for found in of_two:
        assert found["single.loss_koleo_alone"] == 0
    compare({"single.loss_koleo_twice": KoLeoLoss()(torch.ones(2, WIDTH))}, of_two)


def test_sums_means_and_maxima(of_two: list[Tensors]) -> None:
    for rank, found in enumerate(of_two):
        assert found["sum"].tolist() == [3, -6]
        assert found["max"].tolist() == [2, -2]
        assert found["mine"].tolist() == [1 + rank, -2 - 2 * rank]  # left as it was
        assert found["mean"].tolist() == [3 / 4]  # of the rows, not of the processes' means


def test_one_process_needs_no_group() -> None:
    x = torch.randn(3, 2)
    assert all_reduce_sum(x) is x
    assert all_reduce_max(x) is x
    assert gather(x) is x
