# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_ssl import FAMILIES, tiny_distillation, tiny_encoder, tiny_views

from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoEncoder, adapt
from monai_dino.ssl import PRESETS, SelfDistillation

LOSSES = ("dino_global", "dino_local", "ibot", "koleo", "gram")


def numbers(x: torch.Tensor) -> np.ndarray:
    return x.detach().double().numpy()


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def targets(logits: np.ndarray, temperature: float, centering: str, center: np.ndarray) -> np.ndarray:
    """The teacher's targets for rows of logits, as the papers write them."""
    if centering == "softmax":
        return softmax((logits - center) / temperature)
    q = np.exp(logits / temperature).T  # SwAV's listing
    q /= q.sum()
    for _ in range(3):
        q /= q.sum(axis=1, keepdims=True) * len(q)
        q /= q.sum(axis=0, keepdims=True) * q.shape[1]
    return (q * q.shape[1]).T


def entropy(target: np.ndarray, logits: np.ndarray) -> float:
    return float(-(target * np.log(softmax(logits / 0.1))).sum())


def recomputed(network: SelfDistillation, batch: dict[str, Any], temperature: float) -> dict[str, float]:
    """Every loss from the encoders' tokens, one pair of views, one patch and one image at a time, in float64."""
    s, student, teacher = network.settings, network.student, network.teacher
    g, local, mask = batch["image_global"], batch["image_local"], batch["patch_mask"]
    images, views = g.shape[:2]
    with torch.no_grad():
        seen = [student.encoder(g[:, v], mask[:, v]) for v in range(views)]
        small = [student.encoder(local[:, v]) for v in range(local.shape[1])]
        whole = [teacher.encoder(g[:, v]) for v in range(views)]
        student_rows = [numbers(student.dino_head(out.cls)) for out in (*seen, *small)]
        teacher_rows = np.concatenate([numbers(teacher.dino_head(out.cls)) for out in whole])
        patches = (student.ibot_head or student.dino_head, teacher.ibot_head or teacher.dino_head)
        places = [(v, i, n) for v in range(views) for i in range(images) for n in mask[i, v].nonzero()[:, 0].tolist()]
        guess = [numbers(patches[0](seen[v].patches[i, n])) for v, i, n in places]
        truth = [numbers(patches[1](whole[v].patches[i, n])) for v, i, n in places]
    center = numbers(network.dino_loss.center) if s.centering == "softmax" else np.zeros(1)
    wanted = targets(teacher_rows, temperature, s.centering, center).reshape(views, images, -1)
    pairs = [(t, v) for t in range(views) for v in range(len(student_rows)) if t != v]
    found = dict.fromkeys(("dino_global", "dino_local", "ibot", "koleo"), 0.0)
    for t, v in pairs:
        for i in range(images):
            share = entropy(wanted[t, i], student_rows[v][i]) / images / len(pairs)
            found["dino_global" if v < views else "dino_local"] += share
    center = numbers(network.ibot_loss.center) if s.centering == "softmax" else np.zeros(1)
    made = targets(np.array(truth).reshape(len(truth), -1), temperature, s.centering, center) if truth else []
    for (v, i, _), logits, target in zip(places, guess, made, strict=True):
        found["ibot"] += entropy(target, logits) / int(mask[i, v].sum()) / (images * views)
    for out in seen:
        unit = numbers(out.cls)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        for i in range(images if images > 1 else 0):
            found["koleo"] -= np.log(min(np.linalg.norm(unit[i] - unit[j]) for j in range(images) if j != i)) / images
    if network.gram_teacher is not None:
        with torch.no_grad():
            kept = [network.gram_teacher(g[:, v]) for v in range(views)]
        found["gram"] = 0.0
        for one, other in zip(seen, kept, strict=True):
            for i in range(images):
                rows = [numbers(x.patches[i]) for x in (one, other)]
                rows = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in rows]
                found["gram"] += ((rows[0] @ rows[0].T - rows[1] @ rows[1].T) ** 2).mean() / (images * views)
    return found


@pytest.mark.parametrize("centering", ["sinkhorn_knopp", "softmax"])
@pytest.mark.parametrize("family", FAMILIES)
def test_is_the_formulas_on_the_tokens(family: str, centering: str) -> None:
    separate = centering == "softmax"
    network = tiny_distillation(
        tiny_encoder(family), "dinov3", centering=centering, separate_ibot_head=separate,
        dino_weight=0.7, ibot_weight=1.3, koleo_weight=0.2, gram_weight=2.5,
    ).eval()  # fmt: skip
    network.refresh_gram_teacher()
    network.update_teacher(0.7)  # student, teacher and Gram teacher all differ
    if centering == "softmax":
        network.dino_loss.center.normal_()
        network.ibot_loss.center.normal_()
    batch = tiny_views()
    assert sorted(batch["patch_mask"].sum(dim=2).flatten().tolist())[:2] == [0, 0]  # uneven masks
    assert batch["patch_mask"].sum(dim=2).unique().numel() > 2
    total, found = network(batch, 0.06)
    expected = recomputed(network, batch, 0.06)
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, abs=1e-4, rel=1e-4), name
    weights = {"dino_global": 0.7, "dino_local": 0.7, "ibot": 1.3, "koleo": 0.2, "gram": 2.5}
    assert float(total.detach()) == pytest.approx(sum(weights[name] * expected[name] for name in LOSSES), rel=1e-4)


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 50), st.floats(0.03, 0.5))
def test_is_them_for_any_number_of_images_and_views(
    images: int, views: int, local: int, seed: int, temperature: float
) -> None:
    network = tiny_distillation(koleo_weight=0.1 if images > 1 else 0.0).eval()
    batch = tiny_views(images, views, local, seed)
    total, found = network(batch, temperature)
    expected = recomputed(network, batch, temperature)
    for name, value in found.items():
        if name in expected:
            assert float(value) == pytest.approx(expected[name], abs=1e-4, rel=1e-3), name
    assert total.isfinite()


def test_what_a_single_image_gives() -> None:
    network = tiny_distillation().train()
    total, found = network(tiny_views(images=1), 0.04)
    total.backward()
    assert found["koleo"] == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize(
    ("weight", "losses"),
    [
        ("dino_weight", {"dino_global", "dino_local"}),
        ("ibot_weight", {"ibot"}),
        ("koleo_weight", {"koleo"}),
        ("gram_weight", {"gram"}),
    ],
)
def test_a_weight_of_0_removes_its_loss(weight: str, losses: set[str]) -> None:
    made = {}
    for value in (1.0, 0.0):
        changes = {"dino_weight": 1.0, "ibot_weight": 1.0, "koleo_weight": 1.0, "gram_weight": 1.0} | {weight: value}
        network = tiny_distillation(separate_ibot_head=False, **changes)  # so that the heads are the same
        if changes["gram_weight"]:
            network.refresh_gram_teacher()
        if weight == "ibot_weight":  # the student is then not masked either, which changes the other losses
            batch = tiny_views() | {"patch_mask": torch.zeros(3, 2, 16, dtype=torch.bool)}
        else:
            batch = tiny_views()
        total, found = network.eval()(batch, 0.05)
        made[value] = float(total.detach()), {name: float(found[name]) for name in LOSSES if name in found}
    assert made[0.0][0] == pytest.approx(sum(v for name, v in made[1.0][1].items() if name not in losses), rel=1e-5)
    if weight != "dino_weight":
        assert not losses & made[0.0][1].keys()


def test_without_ibot_nothing_is_masked_and_there_is_no_head() -> None:
    network = tiny_distillation(ibot_weight=0.0).eval()
    assert network.student.ibot_head is None
    batch = tiny_views()
    with_mask, _ = network(batch, 0.05)
    without, _ = network({key: batch[key] for key in ("image_global", "image_local")}, 0.05)
    assert torch.equal(with_mask, without)


def test_instruments() -> None:
    network = tiny_distillation().eval()
    batch = tiny_views()
    _, found = network(batch, 0.05)
    assert found.keys() == {
        *("dino_global", "dino_local", "ibot", "koleo"),
        *("target_entropy", "usage_entropy", "features"),
    }
    assert not any(value.requires_grad for value in found.values())
    with torch.no_grad():
        cls = torch.cat([network.teacher.encoder(batch["image_global"][:, v]).cls for v in range(2)])
        rows = numbers(network.teacher.dino_head(cls))
    torch.testing.assert_close(found["features"], cls, atol=1e-5, rtol=0)
    made = targets(rows, 0.05, "sinkhorn_knopp", np.zeros(1))
    assert float(found["target_entropy"]) == pytest.approx(-(made * np.log(made)).sum(axis=1).mean(), abs=1e-4)
    mean = made.mean(axis=0)
    assert float(found["usage_entropy"]) == pytest.approx(-(mean * np.log(mean)).sum(), abs=1e-4)


def blackened(batch: dict[str, Any]) -> dict[str, Any]:
    """The same batch with other pixels where a patch is masked."""
    pixels = batch["patch_mask"].unflatten(2, (4, 4)).repeat_interleave(8, 2).repeat_interleave(8, 3)
    return batch | {"image_global": batch["image_global"].masked_fill(pixels[:, :, None], 0)}


def test_the_student_is_masked_and_the_teacher_is_not() -> None:
    network = tiny_distillation().eval()
    batch = tiny_views()
    seen: dict[str, list[Any]] = {"student": [], "teacher": []}
    for name, owner in (("student", network.student), ("teacher", network.teacher)):
        owner.encoder.norm.register_forward_hook(lambda _m, _a, out, name=name: seen[name].append(out.detach()))
    for views in (batch, blackened(batch)):
        network(views, 0.05)
    # student: global and local views in turn; the class token of a masked view is one of those hidden from
    assert torch.equal(seen["student"][0], seen["student"][2])
    changed = (seen["teacher"][0] - seen["teacher"][1]).abs().amax(dim=(1, 2)) > 0
    assert changed.tolist() == batch["patch_mask"].transpose(0, 1).flatten(0, 1).any(dim=1).tolist()


def test_dino_and_koleo_see_the_class_token_of_the_masked_view() -> None:
    network = tiny_distillation().eval()
    batch = tiny_views()
    nothing = batch | {"patch_mask": torch.zeros_like(batch["patch_mask"])}
    (_, masked), (_, plain) = network(batch, 0.05), network(nothing, 0.05)
    for name in ("dino_global", "koleo"):
        assert abs(float(masked[name] - plain[name])) > 1e-4
    torch.testing.assert_close(masked["dino_local"], plain["dino_local"])


def test_the_temperature_of_the_teacher_is_used() -> None:
    network = tiny_distillation().eval()
    (_, sharp), (_, soft) = network(tiny_views(), 0.02), network(tiny_views(), 0.5)
    for name in ("dino_global", "dino_local", "ibot", "target_entropy"):
        assert abs(float(sharp[name] - soft[name])) > 1e-4, name
    assert sharp["target_entropy"] < soft["target_entropy"]


def test_centres_move_in_training_after_their_use() -> None:
    network = tiny_distillation(preset="dino", ibot_weight=1.0, center_momentum=0.9)
    batch = tiny_views()
    evaluated, _ = network.eval()(batch, 0.05)
    assert not network.dino_loss.center.any()
    trained, _ = network.train()(batch, 0.05)
    assert torch.equal(evaluated, trained)
    with torch.no_grad():
        cls = network.teacher.encoder(batch["image_global"].transpose(0, 1).flatten(0, 1)).cls
        mean = network.teacher.dino_head(cls).mean(dim=0, keepdim=True)
    torch.testing.assert_close(network.dino_loss.center, 0.1 * mean)
    assert network.ibot_loss.center.any()


def trained_by(adaptation: dict[str, Any], **changes: Any) -> SelfDistillation:
    encoder = tiny_encoder()
    adapt(encoder, **adaptation)
    return tiny_distillation(encoder, **changes)


@pytest.mark.parametrize(
    ("adaptation", "trained"),
    [
        ({"mode": "lora", "rank": 2}, lambda name: ".lora_" in name or "mask_token" in name),
        ({"mode": "bitfit"}, lambda name: name.endswith(".bias") or "mask_token" in name),
        ({"mode": "full", "freeze_blocks": 1}, lambda name: ".layer.1." in name or "layernorm" in name),
        ({"mode": "full"}, lambda name: True),
    ],
    ids=lambda value: value["mode"] if isinstance(value, dict) else "",
)
def test_what_is_adapted_gets_gradients_and_nothing_else(adaptation: dict[str, Any], trained: Any) -> None:
    network = trained_by(adaptation).train()
    loss, _ = network(tiny_views(), 0.05)
    loss.backward()
    for name, parameter in network.student.encoder.named_parameters():
        moved = parameter.grad is not None and bool(parameter.grad.any())
        # A bias of the keys moves all scores of a query alike, so its gradient is rounding.
        assert moved == trained(name) or "k_proj.bias" in name, name
    assert all(p.grad is not None and p.grad.any() for p in network.student.dino_head.parameters())
    assert all(p.grad is None for p in network.teacher.parameters() if p.requires_grad)
    assert not any(p.requires_grad for p in network.teacher.parameters())


def test_heads_learn_alone_while_the_encoder_is_frozen() -> None:
    network = tiny_distillation().train()
    loss, _ = network(tiny_views(), 0.05, encoder_frozen=True)
    loss.backward()
    assert all(p.grad is None for p in network.student.encoder.parameters())
    assert all(p.grad is not None for p in network.student.dino_head.parameters())
    unfrozen, _ = network(tiny_views(), 0.05)
    torch.testing.assert_close(loss, unfrozen)


def test_heads_are_warmed_up_when_the_encoder_is_pretrained() -> None:
    for pretrained, share in ((True, 0.1), (False, 0.0)):
        assert SelfDistillation(tiny_encoder(), pretrained=pretrained, prototypes=8).settings.head_warmup == share


def test_the_teacher_is_exact_while_the_student_is_not() -> None:
    encoder = tiny_encoder("dinov3_vit")
    adapt(encoder, "lora", rank=2, dropout=0.5)
    network = tiny_distillation(encoder, drop_path=0.5).train()
    x = tiny_views()["image_global"][:, 0]
    with torch.no_grad():
        assert torch.equal(network.teacher(x).cls, network.teacher(x).cls)
        assert torch.equal(network.teacher(x).cls, network.eval().teacher(x).cls)
        assert not torch.equal(network.train().student(x).cls, network.student(x).cls)


def test_rotary_positions_are_augmented_for_the_training_student_alone() -> None:
    network = tiny_distillation(tiny_encoder("dinov3_vit"), "dinov3").train()
    network.refresh_gram_teacher()
    assert network.gram_teacher is not None
    x = tiny_views()["image_global"][:, 0]
    with torch.no_grad():
        assert not torch.equal(network.student(x).cls, network.student(x).cls)
        for encoder in (network.teacher.encoder, network.gram_teacher, network.eval().student.encoder):
            assert torch.equal(encoder(x).cls, encoder(x).cls)


def test_teachers_are_never_in_training_mode() -> None:
    network = tiny_distillation(preset="dinov3")
    network.refresh_gram_teacher()
    for mode in (True, False, True):
        network.train(mode)
        assert network.student.training == network.dino_loss.training == mode
        for teacher in (network.teacher, network.gram_teacher):
            assert teacher is not None
            assert not any(module.training for module in teacher.modules())


def test_the_teacher_starts_as_the_student_and_then_differs_from_its_live_weights() -> None:
    network = SelfDistillation(tiny_encoder(), prototypes=32).eval()
    x = tiny_views()["image_global"][:, 0]
    with torch.no_grad():
        start = network.teacher(x).cls
        assert torch.equal(network.student(x).cls, start)
        for parameter in network.student.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        assert torch.equal(network.teacher(x).cls, start)
        network.update_teacher(0.9)
        moved = network.teacher(x).cls
        assert not torch.equal(moved, start)
        assert not torch.equal(moved, network.student(x).cls)


def test_the_gram_teacher_is_kept_while_the_teacher_moves_on() -> None:
    network = tiny_distillation(preset="dinov3").eval()
    x = tiny_views()["image_global"][:, 0]
    network.refresh_gram_teacher()
    assert network.gram_teacher is not None
    with torch.no_grad():
        kept = network.gram_teacher(x).patches
        assert torch.equal(kept, network.teacher.encoder(x).patches)
        network.update_teacher(0.5)
        assert torch.equal(network.gram_teacher(x).patches, kept)
        assert not torch.equal(network.teacher.encoder(x).patches, kept)
        network.refresh_gram_teacher()
        assert torch.equal(network.gram_teacher(x).patches, network.teacher.encoder(x).patches)


def test_the_gram_teacher_of_a_lora_training_costs_the_adapters() -> None:
    network = trained_by({"mode": "lora", "rank": 2}, preset="dinov3")
    network.refresh_gram_teacher()
    assert network.gram_teacher is not None
    others = {id(p) for p in (*network.student.parameters(), *network.teacher.parameters())}
    own = [name for name, p in network.gram_teacher.named_parameters() if id(p) not in others]
    assert own
    assert all(".lora_" in name or "mask_token" in name for name in own)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("family", FAMILIES)
def test_any_backbone_goes_with_any_preset(family: str, preset: str) -> None:
    network = tiny_distillation(tiny_encoder(family), preset, drop_path=0.4).train()
    network.refresh_gram_teacher()
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = network(tiny_views(), 0.05)
    loss.backward()
    assert loss.isfinite()
    assert loss.dtype == torch.float32
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_what_would_train_nothing() -> None:
    encoder = tiny_encoder()
    adapt(encoder, "frozen")
    with pytest.raises(ConfigurationError, match="adaptation: nothing of the encoder is trained"):
        SelfDistillation(encoder)


@pytest.mark.parametrize(
    ("family", "field"),
    [("dinov2", "drop_path_rate"), ("dinov3_vit", "drop_path_rate"), ("vit", "hidden_dropout_prob")],
)
def test_what_the_training_would_not_apply(family: str, field: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"encoder: .* {field}=0\.1, .* network_def::drop_path"):
        tiny_distillation(tiny_encoder(family, **{field: 0.1}))
    tiny_distillation(tiny_encoder(family, **{field: 0.0}))


def test_bad_configurations_name_their_key() -> None:
    encoder: DinoEncoder = tiny_encoder()
    with pytest.raises(ConfigurationError, match="preset: unknown 'dinov9'"):
        SelfDistillation(encoder, "dinov9")
    with pytest.raises(ConfigurationError, match="adaptation: freeze_blocks=3, but the encoder has 2 blocks"):
        adapt(encoder, "full", freeze_blocks=3)
    with pytest.raises(ConfigurationError, match="adaptation: LoRA targets qkv match no linear layer"):
        adapt(encoder, "lora", targets=["qkv"])
    network = tiny_distillation()
    with pytest.raises(ConfigurationError, match="global_size: views of 36x36 pixels"):
        network(tiny_views() | {"image_global": torch.rand(3, 2, 1, 36, 36)}, 0.05)
