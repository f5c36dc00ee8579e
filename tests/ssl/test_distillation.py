# SPDX-License-Identifier: Apache-2.0
"""A frozen teacher into a student."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_training import IMAGES, SAVED, STEPS, FixedViews, resume, train
from tiny_ssl import FAMILIES, HEADS, tiny_encoder, tiny_views

from monai_dino.data import StepSampler
from monai_dino.engines import DinoTrainer
from monai_dino.errors import CheckpointError, ConfigurationError
from monai_dino.handlers import RunCheckpointHandler
from monai_dino.handlers.sample_position import SamplePositionHandler
from monai_dino.networks import DinoEncoder, adapt
from monai_dino.networks.heads import ProjectionHead
from monai_dino.ssl import PRESETS, Distillation, build_optimizer, require_teacher_weights
from monai_dino.ssl.frozen_teacher import FrozenTeacher, Standardized
from monai_dino.ssl.training_state import training_tensors

WIDER = {"hidden_size": 32, "num_hidden_layers": 3}


def distillation(
    teacher: DinoEncoder | None = None, student: DinoEncoder | None = None, **changes: Any
) -> Distillation:
    teacher = teacher or tiny_encoder("dinov2", **WIDER)
    student = student or tiny_encoder()
    torch.manual_seed(1)
    return Distillation(student, teacher, batch_size=3, **(HEADS | changes))


def values(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def steps(network: Distillation, count: int, batch: dict[str, Any]) -> list[float]:
    optimizer = build_optimizer(network.student, network.settings)
    for group in optimizer.param_groups:
        group["lr"] = 3e-3
    losses = []
    network.train()
    for _ in range(count):
        loss, _ = network(batch, 0.07)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        network.update_teacher(0.9)
        losses.append(float(loss))
    return losses


def test_the_teacher_stays_as_it_is_and_the_student_learns() -> None:
    head = ProjectionHead(32, HEADS["prototypes"], 16, 8)
    network = distillation(teacher_head=head)
    before, student = values(network.frozen_teacher), values(network.student)
    losses = steps(network, 40, tiny_views())
    assert losses[-1] < losses[0] - 0.3
    assert same(before, values(network.frozen_teacher))
    assert not same(student, values(network.student))
    assert not any(p.requires_grad or p.grad is not None for p in network.frozen_teacher.parameters())
    assert not any(module.training for module in network.frozen_teacher.modules())
    assert not any(module.training for module in network.shadow.modules())


@pytest.mark.parametrize("patch_size", [8, 4, 16])
@pytest.mark.parametrize("family", FAMILIES)
def test_any_teacher_fits(family: str, patch_size: int) -> None:
    teacher = tiny_encoder(family, **WIDER, patch_size=patch_size)
    network = distillation(teacher)
    loss, parts = network(tiny_views(), 0.07)
    loss.backward()
    assert torch.isfinite(loss)
    assert set(parts) == {
        *("dino_global", "dino_local", "ibot", "koleo"),
        *("target_entropy", "usage_entropy", "features"),
    }
    assert torch.equal(
        parts["features"], network.student(tiny_views()["image_global"].transpose(0, 1).flatten(0, 1)).cls
    )
    views = torch.rand(2, 1, 32, 16)
    seen = (
        views
        if patch_size == 8
        else F.interpolate(views, (4 * patch_size, 2 * patch_size), mode="bilinear", antialias=True)
    )
    out = network.frozen_teacher(views, 8)
    assert out.grid == (4, 2)
    assert torch.equal(out.patches, teacher(seen).patches)


def test_the_shadow_averages_the_student() -> None:
    network = distillation()
    assert network.average is network.shadow
    expected = values(network.shadow)
    assert same(expected, values(network.student))
    for momentum in (1 / 10, 2 / 11, 3 / 12):  # all below 0.9
        steps(network, 1, tiny_views())
        student = network.student.state_dict()
        expected = {name: momentum * mean + (1 - momentum) * student[name] for name, mean in expected.items()}
    network.shadow_updates.fill_(1000)
    steps(network, 1, tiny_views())
    expected = {name: 0.9 * mean + 0.1 * network.student.state_dict()[name] for name, mean in expected.items()}
    for name, found in network.shadow.state_dict().items():
        torch.testing.assert_close(found, expected[name])


def test_values_of_self_distillation_that_do_not_suit_a_fixed_teacher_are_replaced() -> None:
    head = ProjectionHead(32, HEADS["prototypes"], 16, 8)
    for preset in ("dinov2", "small"):
        found, with_head = (distillation(preset=preset, teacher_head=h).settings for h in (None, head))
        assert (found.teacher_temp, found.teacher_temp_start, found.drop_path) == (0.07, 0.07, 0.0)
        assert with_head.teacher_temp_start == PRESETS[preset].teacher_temp_start
        assert found.momentum == found.momentum_end == PRESETS[preset].momentum
    given = distillation(teacher_temp=0.05, momentum=0.9, learning_rate=None).settings
    assert (given.teacher_temp_start, given.momentum_end) == (0.05, 0.9)
    assert distillation(momentum_end=1.0, drop_path=0.2).settings.momentum_end == 1.0


def test_lora_shares_what_it_does_not_train_with_the_shadow() -> None:
    student = tiny_encoder()
    adapt(student, "lora", rank=2)
    network = distillation(student=student)
    shared = {id(p) for p in network.student.parameters()} & {id(p) for p in network.shadow.parameters()}
    assert shared == {id(p) for p in network.student.parameters() if not p.requires_grad}


@pytest.mark.parametrize("with_head", [False, True])
def test_the_loss_is_that_of_an_independent_computation(with_head: bool) -> None:
    head = ProjectionHead(32, HEADS["prototypes"], 16, 8) if with_head else None
    network = distillation(teacher_head=head).double()
    batch = {k: v.double() if v.is_floating_point() else v for k, v in tiny_views(images=3).items()}
    network.train()
    loss, parts = network(batch, 0.06)

    images, views = 3, 2
    teacher, student, directions = network.frozen_teacher.encoder, network.student, network.frozen_teacher.directions
    spread = 0.3 * math.sqrt(32)

    def targets(logits: torch.Tensor) -> torch.Tensor:
        q = (logits / 0.06).exp()
        for _ in range(3):
            q = q / q.sum(0)
            q = q / q.sum(1, keepdim=True)
        return q

    def read(features: torch.Tensor) -> torch.Tensor:
        centred = (features - features.mean(0)) / features.var(0, unbiased=False).sqrt()
        return spread * centred / centred.norm(dim=1, keepdim=True) @ directions.T

    def cross_entropy(target: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        return -(target * (logits / 0.1).log_softmax(-1)).sum(-1)

    with torch.no_grad():
        seen = [teacher(batch["image_global"][:, v]) for v in range(views)]
        cls = torch.cat([out.cls for out in seen])
        cls_targets = targets(head(cls) if head is not None else read(cls)).split(images)
        said_global = [student.encoder(batch["image_global"][:, v]) for v in range(views)]
        said_local = [student.encoder(batch["image_local"][:, v]) for v in range(batch["image_local"].shape[1])]
        made = [student.dino_head(out.cls) for out in (*said_global, *said_local)]
        dino = torch.stack([cross_entropy(t, x).mean() for t in cls_targets for x in made]).mean()
        masks = [batch["patch_mask"][:, v] for v in range(views)]
        patch_targets = targets(read(torch.cat([out.patches[m] for out, m in zip(seen, masks, strict=True)])))
        patch_logits = [student.ibot_head(out.patches[m]) for out, m in zip(said_global, masks, strict=True)]
        each = cross_entropy(patch_targets, torch.cat(patch_logits))
        counts = torch.cat(masks).sum(1)
        ibot = sum(part.mean() for part in each.split(counts.tolist()) if len(part)) / len(counts)
        koleo = torch.zeros((), dtype=torch.float64)
        for out in said_global:
            unit = out.cls / out.cls.norm(dim=1, keepdim=True)
            distances = torch.cdist(unit, unit) + 10 * torch.eye(images)
            koleo -= distances.min(1).values.log().mean()
    expected = {"dino": dino, "ibot": ibot, "koleo": koleo}
    found = {"dino": parts["dino_global"] + parts["dino_local"], "ibot": parts["ibot"], "koleo": parts["koleo"]}
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(float(value), rel=2e-5), name
    assert float(loss) == pytest.approx(float(dino + ibot + 0.1 * koleo), rel=2e-5)


def test_features_are_standardised_over_all_that_was_seen() -> None:
    rng = torch.Generator().manual_seed(0)
    batches = [1000 + 3 * torch.randn(16, 5, generator=rng, dtype=torch.float64) for _ in range(4)]
    network = Standardized(5)
    for batch in batches:
        found = network(batch.float())
    everything = torch.cat(batches)
    wanted = (batches[-1] - everything.mean(0)) / everything.var(0, unbiased=False).sqrt()
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-3)
    before = values(network.eval())
    network(batches[0].float())
    assert same(before, values(network))
    assert torch.isfinite(Standardized(5)(torch.ones(1, 5))).all()
    assert Standardized(5)(torch.zeros(0, 5)).shape == (0, 5)


def trainer_of(seed: int = 0) -> DinoTrainer:
    network = distillation(tiny_encoder("dinov3_vit", **WIDER, patch_size=4), learning_rate=1e-2)
    if seed:
        with torch.no_grad():
            for parameter in (*network.student.parameters(), *network.shadow.parameters()):
                parameter.mul_(seed)
    loader = torch.utils.data.DataLoader(FixedViews(), batch_sampler=StepSampler(IMAGES, IMAGES, seed=3))
    return DinoTrainer("cpu", STEPS, loader, network, "fp32", train_handlers=[SamplePositionHandler(loader)])


def test_checkpoints_leave_the_teacher_out_and_runs_go_on_from_them(tmp_path: Path) -> None:
    whole = train(trainer_of(), tmp_path)
    names = training_tensors(trainer_of().network, trainer_of().optimizer)
    assert not any("frozen_teacher" in name for name in names)
    assert {"cls_features.mean", "patch_features.variance", "shadow.dino_head.mlp.0.weight"} <= names.keys()
    after = resume(trainer_of(seed=2), tmp_path)
    expected = {k: v for k, v in whole.items() if not k[0].isdigit() or int(k.split(".")[0]) > SAVED}
    assert same(expected, after)


def test_no_run_goes_on_with_another_teacher(tmp_path: Path) -> None:
    first = trainer_of()
    RunCheckpointHandler(tmp_path).attach(first)
    first.run()
    assert RunCheckpointHandler(tmp_path).take_up(trainer_of()) == STEPS
    other = trainer_of()
    with torch.no_grad():
        next(other.network.frozen_teacher.encoder.parameters()).mul_(2)
    with pytest.raises(CheckpointError, match=r"was made with teacher .*, but teacher_weights now makes it"):
        RunCheckpointHandler(tmp_path).take_up(other)


def test_what_cannot_work_is_refused() -> None:
    student = tiny_encoder()
    with pytest.raises(ConfigurationError, match=r"gram_weight=2.0: .* set it to 0"):
        Distillation(student, tiny_encoder(), "dinov3")
    with pytest.raises(ConfigurationError, match="teacher: takes images of 3 channels, the student of 1"):
        Distillation(student, DinoEncoder(FAMILIES["dinov2"], in_channels=3))
    with pytest.raises(ConfigurationError, match="teacher: is the student itself"):
        Distillation(student, student)
    with pytest.raises(ConfigurationError, match=r"teacher_head: .* 8 prototypes, .* prototypes=32"):
        distillation(teacher_head=ProjectionHead(32, 8, 16, 8))
    with pytest.raises(ConfigurationError, match=r"teacher_head: takes features of 24 .* have 32"):
        distillation(teacher_head=ProjectionHead(24, 32, 16, 8))
    frozen = tiny_encoder()
    adapt(frozen, "frozen")
    with pytest.raises(ConfigurationError, match="adaptation: nothing of the encoder is trained"):
        distillation(student=frozen)


def test_a_teacher_of_random_weights_is_refused_where_the_bundle_asks() -> None:
    with pytest.raises(ConfigurationError, match="teacher_weights: none are given"):
        require_teacher_weights(None)
    require_teacher_weights("facebook/dinov2-large")


def test_targets_of_directions_are_scored_in_float32_under_autocast() -> None:
    network = distillation()
    features = torch.randn(5, network.frozen_teacher.directions.shape[1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network._along_directions(features)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, network._along_directions(features))


def test_directions_are_the_same_in_every_run() -> None:
    torch.manual_seed(1)
    one = FrozenTeacher(tiny_encoder(), 8)
    torch.manual_seed(2)
    other = copy.deepcopy(FrozenTeacher(tiny_encoder(), 8))
    assert torch.equal(one.directions, other.directions)
    torch.testing.assert_close(one.directions.norm(dim=1), torch.ones(8))
