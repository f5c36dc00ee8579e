# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from ignite.engine import Events
from pretraining import tiny_store, tiny_trainer
from tiny_ssl import tiny_distillation, tiny_encoder, tiny_views
from torch.utils.data import DataLoader, Dataset

from monai_dino.data import SliceStore, StepSampler
from monai_dino.engines import DinoTrainer
from monai_dino.errors import ConfigurationError, NetworkError
from monai_dino.handlers import SamplePositionHandler
from monai_dino.inferers.autocast import Precision
from monai_dino.networks import adapt
from monai_dino.ssl import Schedules, SelfDistillation, StepValues, parameter_groups

STEPS = 4
STEADY: dict[str, Any] = {"warmup": 0.0, "learning_rate": 1e-2, "freeze_last_layer": 0.0, "clip_norm": 0.5}


class Views(Dataset[dict[str, torch.Tensor]]):
    """Sixteen images whose views are a function of (epoch, index)."""

    def __init__(self, dtype: torch.dtype = torch.float32, broken: int | None = None) -> None:
        self.dtype, self.broken, self.epoch = dtype, broken, 0

    def __len__(self) -> int:
        return 16

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        views = {key: value[index % 3] for key, value in tiny_views(3, seed=100 * self.epoch + index).items()}
        if index == self.broken:
            views["image_global"][0, 0, 3, 3] = torch.nan
        return {key: x.to(self.dtype) if x.is_floating_point() else x for key, x in views.items()}


def trainer_of(
    network: SelfDistillation,
    epochs: int = 1,
    dataset: Views | None = None,
    precision: Precision = "fp32",
    accumulation_steps: int = 1,
) -> DinoTrainer:
    dtype = next(network.parameters()).dtype
    dataset = dataset or Views(dtype)
    loader = DataLoader(dataset, batch_sampler=StepSampler(len(dataset), 4, seed=5))
    handlers = [SamplePositionHandler(loader)]
    return DinoTrainer("cpu", epochs, loader, network, precision, accumulation_steps, train_handlers=handlers)


def watch(trainer: DinoTrainer, act: Callable[[DinoTrainer], None]) -> None:
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda _: act(trainer))


def weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], equal: bool = True) -> None:
    assert one.keys() == other.keys()
    differ = [name for name in one if not torch.equal(one[name], other[name])]
    assert (not differ) == equal, differ


class ByHand:
    """AdamW, clipping and average as the papers write them, one parameter at a time."""

    def __init__(self, network: SelfDistillation) -> None:
        self.network, self.step = network, 0
        self.moments: dict[str, list[Any]] = {}
        self.factors = {
            id(p): (group["rate_factor"], group["decay_factor"], group["last_layer"])
            for group in parameter_groups(network.student, network.settings)
            for p in group["params"]
        }

    def __call__(self, batches: list[dict[str, torch.Tensor]], values: StepValues) -> float:
        network, s = self.network, self.network.settings
        losses, names = [], [name for name, p in network.student.named_parameters() if p.requires_grad]
        parameters = dict(network.student.named_parameters())
        summed: dict[str, torch.Tensor] = {}
        for batch in batches:
            loss, _ = network(batch, values.teacher_temp, values.encoder_frozen)
            made = torch.autograd.grad(loss, [parameters[n] for n in names], allow_unused=True)
            for name, gradient in zip(names, made, strict=True):
                if gradient is not None:
                    summed[name] = summed.get(name, 0) + gradient / len(batches)
            losses.append(float(loss.detach()))
        for part in ("encoder.", "dino_head.", "ibot_head."):
            inside = [name for name in summed if name.startswith(part)]
            norm = math.sqrt(sum(float(summed[name].square().sum()) for name in inside))
            for name in inside:
                summed[name] = summed[name] * min(1.0, s.clip_norm / (norm + 1e-6))
        with torch.no_grad():
            for name, gradient in summed.items():
                self._update(name, parameters[name], gradient, values)
            theirs = dict(network.teacher.named_parameters())
            for name in names:
                theirs[name].copy_(values.momentum * theirs[name] + (1 - values.momentum) * parameters[name])
        return sum(losses) / len(losses)

    def _update(self, name: str, p: torch.nn.Parameter, gradient: torch.Tensor, values: StepValues) -> None:
        rate_factor, decay_factor, last = self.factors[id(p)]
        rate = values.encoder_rate if name.startswith("encoder.") else values.learning_rate
        rate = (values.last_layer_rate if last else rate) * rate_factor
        step, first, second = self.moments.get(name, [0, torch.zeros_like(p), torch.zeros_like(p)])
        step, beta2 = step + 1, self.network.settings.beta2
        first = 0.9 * first + 0.1 * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        self.moments[name] = [step, first, second]
        p.mul_(1 - rate * values.weight_decay * decay_factor)
        p.sub_(rate * (first / (1 - 0.9**step)) / ((second / (1 - beta2**step)).sqrt() + 1e-8))


def batches_of(epochs: int, parts: int, dtype: torch.dtype) -> list[list[dict[str, torch.Tensor]]]:
    dataset, sampler, found = Views(dtype), StepSampler(16, 4, seed=5), []
    for epoch in range(1, epochs + 1):
        dataset.set_epoch(epoch)
        sampler.set_position(epoch)
        for indices in sampler:
            items = [dataset[i] for i in indices]
            size = len(items) // parts
            chunks = [items[i : i + size] for i in range(0, len(items), size)]
            found.append([{key: torch.stack([item[key] for item in c]) for key in c[0]} for c in chunks])
    return found


@pytest.mark.parametrize(
    ("preset", "adaptation", "parts", "changes"),
    [
        ("dinov2", {"mode": "full"}, 1, {}),
        ("dinov2", {"mode": "full"}, 2, {"centering": "softmax"}),
        ("dino", {"mode": "full", "freeze_blocks": 1}, 1, {"head_warmup": 0.3, "freeze_last_layer": 0.5}),
        ("dinov3", {"mode": "lora", "rank": 2}, 1, {"gram_start": 0.4, "gram_refresh": 2}),
    ],
)
def test_equals_steps_by_hand(preset: str, adaptation: dict[str, Any], parts: int, changes: dict[str, Any]) -> None:
    encoder = tiny_encoder()
    adapt(encoder, **adaptation)
    network = tiny_distillation(encoder, preset, **(STEADY | changes)).double().train()
    twin = copy.deepcopy(network)
    twin.call_student_through(twin.student)
    trainer = trainer_of(network, epochs=2, accumulation_steps=parts)
    losses: list[float] = []
    watch(trainer, lambda t: losses.append(float(t.state.output["loss"])))
    trainer.run()
    by_hand, expected = ByHand(twin), []
    schedules = Schedules(twin.settings, 2 * STEPS)
    for step, batches in enumerate(batches_of(2, parts, torch.float64)):
        if schedules(step).gram_refresh:
            twin.refresh_gram_teacher()
        expected.append(by_hand(batches, schedules(step)))
    assert losses == pytest.approx(expected, abs=1e-5)
    assert (network.gram_teacher is not None) == (preset == "dinov3")
    own, wanted = weights(network), weights(twin)
    assert own.keys() == wanted.keys()
    for name, value in own.items():
        # losses are in float32, so gradients have its digits
        torch.testing.assert_close(value, wanted[name], atol=2e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_parts_of_a_batch_are_the_batch_where_they_do_not_meet() -> None:
    # With a centre that stays and without KoLeo, no loss knows of the other images.
    made = []
    for parts in (1, 2, 4):
        network = tiny_distillation(preset="dino", center_momentum=1.0, ibot_weight=0.5, **STEADY).double()
        trainer = trainer_of(network, accumulation_steps=parts)
        trainer.run()
        output = trainer.state.output
        made.append(weights(network.student) | output["gradient_norms"] | {"loss": output["loss"]})
    for other in made[1:]:
        for name, value in other.items():
            torch.testing.assert_close(value, made[0][name], atol=1e-6, rtol=1e-5)


def test_output_of_a_step() -> None:
    network = tiny_distillation(**STEADY)
    trainer = trainer_of(network, accumulation_steps=2)
    trainer.run()
    output = trainer.state.output
    assert output.keys() == {"loss", "parts", "values", "gradient_norms", "images"}
    assert output["values"] == trainer.schedules(STEPS - 1)
    assert output["gradient_norms"].keys() == {"encoder", "dino_head", "ibot_head"}
    assert max(output["gradient_norms"].values()) > 0.5  # before clipping
    assert output["images"] == 4
    assert output["parts"]["features"].shape == (8, 24)
    assert output["parts"]["ibot"].shape == ()
    assert trainer.state.iteration == STEPS


def test_gradients_are_clipped_part_by_part() -> None:
    network = tiny_distillation(**STEADY)
    trainer = trainer_of(network)
    norms: list[dict[str, float]] = []

    def look(trainer: DinoTrainer) -> None:
        parts = trainer.network.student.named_children()
        squares = {
            n: sum(float(p.grad.square().sum()) for p in part.parameters() if p.grad is not None) for n, part in parts
        }
        norms.append({name: math.sqrt(square) for name, square in squares.items()})

    watch(trainer, look)
    trainer.run()
    reached = {name for after in norms for name, norm in after.items() if norm == pytest.approx(0.5, rel=1e-3)}
    assert "encoder" in reached
    assert len(reached) > 1
    assert all(norm <= 0.5001 for after in norms for norm in after.values())


def test_rates_of_a_step_are_those_of_its_number() -> None:
    network = tiny_distillation(warmup=0.5, freeze_last_layer=0.5)
    trainer = trainer_of(network, epochs=2)
    found: list[list[tuple[float, float]]] = []
    watch(trainer, lambda t: found.append([(g["lr"], g["weight_decay"]) for g in t.optimizer.param_groups]))
    trainer.run()
    schedules = Schedules(network.settings, 2 * STEPS)
    for step, groups in enumerate(found):
        values = schedules(step)
        for (rate, decay), group in zip(groups, trainer.optimizer.param_groups, strict=True):
            peak = values.encoder_rate if group["encoder"] else values.learning_rate
            peak = values.last_layer_rate if group["last_layer"] else peak
            assert (rate, decay) == (peak * group["rate_factor"], values.weight_decay * group["decay_factor"])
    assert found[0][0][0] == 0
    assert found[4][0][0] > 0


def test_prototypes_and_encoder_stay_while_they_are_frozen() -> None:
    network = tiny_distillation(**(STEADY | {"freeze_last_layer": 0.5, "head_warmup": 0.5}))
    trainer = trainer_of(network, epochs=1)
    seen = [weights(network.student)]
    watch(trainer, lambda t: seen.append(weights(t.network.student)))
    trainer.run()
    for name in seen[0]:
        moved = [not torch.equal(one[name], other[name]) for one, other in pairwise(seen)]
        if name.startswith("encoder.") or "last_layer" in name:
            assert moved[:2] == [False, False], name
            assert moved[2:] == [True, True] or "k_proj.bias" in name or "parametrizations.weight.original0" in name, (
                name
            )
        else:
            assert moved == [True] * 4, name


def test_the_teacher_follows_after_the_step() -> None:
    network = tiny_distillation(**STEADY, momentum=0.5, momentum_end=0.5)
    trainer = trainer_of(network)
    last = dict(network.teacher.named_parameters())
    last = {name: p.detach().clone() for name, p in last.items()}

    def check(trainer: DinoTrainer) -> None:
        own = dict(trainer.network.student.named_parameters())
        for name, theirs in trainer.network.teacher.named_parameters():
            torch.testing.assert_close(theirs, (last[name] + own[name].detach()) / 2, atol=1e-6, rtol=1e-5)
            last[name] = theirs.detach().clone()

    watch(trainer, check)
    trainer.run()
    assert not any(p.requires_grad or p.grad is not None for p in network.teacher.parameters())
    assert not network.teacher.training


def run_until_it_fails(network: SelfDistillation, **options: Any) -> tuple[str, DinoTrainer, list[dict[str, Any]]]:
    trainer = trainer_of(network, **options)
    seen = [weights(network)]
    watch(trainer, lambda t: seen.append(weights(t.network)))
    with pytest.raises(NetworkError) as caught:
        trainer.run()
    return str(caught.value), trainer, seen


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_weights() -> None:
    order = [list(indices) for indices in _first_epoch()]
    network = tiny_distillation(**STEADY)
    message, trainer, seen = run_until_it_fails(network, dataset=Views(broken=order[2][1]))
    assert message.startswith("step 2: the loss is nan (not finite: ")
    assert "dino_global" in message
    assert len(seen) == 3
    assert_same(weights(network), seen[-1])
    assert {int(state["step"]) for state in trainer.optimizer.state.values()} == {2}


def _first_epoch() -> StepSampler:
    sampler = StepSampler(16, 4, seed=5)
    sampler.set_position(1)
    return sampler


def test_gradients_that_are_not_finite_do_so_too() -> None:
    network = tiny_distillation(**STEADY)
    parameter = network.student.encoder.blocks[0].get_parameter("mlp.fc1.weight")
    steps = iter([1.0, math.inf])
    parameter.register_hook(lambda gradient: gradient * next(steps))
    message, _, seen = run_until_it_fails(network)
    assert message.startswith("step 1: ")
    assert "gradient of encoder" in message
    assert len(seen) == 2
    assert_same(weights(network), seen[-1])


def test_the_scaler_of_fp16_outlives_the_run() -> None:
    trainer = trainer_of(tiny_distillation(**STEADY), precision="fp16")
    assert trainer.scaler.is_enabled()
    scaler = trainer.scaler
    scaler.load_state_dict(scaler.state_dict() | {"scale": 8.0, "growth_interval": 3, "_growth_tracker": 1})
    trainer.run()
    assert trainer.scaler is scaler
    assert scaler.get_scale() == 16.0
    assert scaler.state_dict()["_growth_tracker"] == 2


def test_in_fp16_a_step_that_overflows_is_left_out() -> None:
    network = tiny_distillation(**STEADY)
    trainer = trainer_of(network, precision="fp16")
    trainer.scaler.load_state_dict(trainer.scaler.state_dict() | {"scale": 2.0**40})
    seen = [weights(network.student)]
    watch(trainer, lambda t: seen.append(weights(t.network.student)))
    trainer.run()
    assert_same(seen[0], seen[1])
    assert trainer.scaler.get_scale() < 2.0**40


def test_in_fp16_gradients_that_are_never_finite_stop_the_run() -> None:
    network = tiny_distillation(**STEADY)
    parameter = network.student.encoder.blocks[0].get_parameter("mlp.fc1.weight")
    parameter.register_hook(lambda gradient: gradient * math.nan)
    message, _, seen = run_until_it_fails(network, precision="fp16", epochs=6)
    assert message.startswith("step 19: ")
    assert "gradient of encoder" in message
    assert len(seen) == 20
    assert all(torch.equal(seen[0][name], value) for name, value in weights(network).items() if "student" in name)


def test_gram_anchoring_that_a_resume_switches_on_begins_at_once() -> None:
    network = tiny_distillation(preset="dinov3", **STEADY, gram_start=0.0, gram_refresh=1000)
    trainer = trainer_of(network)
    trainer.load_state_dict(
        {"iteration": 2, "epoch_length": len(trainer.sampler), "max_epochs": trainer.state.max_epochs}
    )
    seen: list[float] = []
    watch(trainer, lambda t: seen.append(float(t.state.output["parts"]["gram"])))
    trainer.run()
    assert not any(trainer.schedules(step).gram_refresh for step in range(2, trainer.schedules.total))
    assert len(seen) == trainer.schedules.total - 2


def test_bfloat16_needs_no_scaler() -> None:
    network = tiny_distillation(**STEADY)
    trainer = trainer_of(network, precision="bf16")
    before = weights(network.student)
    trainer.run()
    assert not trainer.scaler.is_enabled()
    assert_same(before, weights(network.student), equal=False)
    assert all(value.dtype == torch.float32 for value in weights(network).values() if value.is_floating_point())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SliceStore:
    return tiny_store(tmp_path_factory.mktemp("store"))


def trained(store: SliceStore, **options: Any) -> dict[str, torch.Tensor]:
    state = options.pop("state", 0)
    trainer = tiny_trainer(store, epochs=2, adaptation={"mode": "lora", "rank": 2, "dropout": 0.2}, **options)
    torch.manual_seed(state)
    trainer.run()
    assert trainer.state.iteration == 10
    return weights(trainer.network)


def test_the_same_run_twice_is_the_same_to_the_bit(store: SliceStore) -> None:
    first = trained(store)
    assert_same(first, trained(store))
    assert_same(first, trained(store, workers=2, state=123))  # nor do workers or the state of torch matter


def test_epochs_differ() -> None:
    network = tiny_distillation(**STEADY)
    trainer = trainer_of(network, epochs=2)
    sums: list[float] = []
    trainer.add_event_handler(
        Events.ITERATION_STARTED, lambda engine: sums.append(float(engine.state.batch["image_global"].sum()))
    )
    trainer.run()
    assert len({round(total, 3) for total in sums}) == 2 * STEPS


def test_what_is_refused() -> None:
    network, dataset = tiny_distillation(), Views()
    with pytest.raises(ConfigurationError, match="train_data_loader: its batch_sampler is a BatchSampler"):
        DinoTrainer("cpu", 1, DataLoader(dataset, batch_size=4), network)
    for parts in (0, 3):
        with pytest.raises(ConfigurationError, match=f"accumulation_steps={parts}: the 4 images of a process"):
            trainer_of(network, accumulation_steps=parts)
