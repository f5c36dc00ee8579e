# SPDX-License-Identifier: Apache-2.0
"""One training on one process, on two with DDP and on two with FSDP, where each process has half of the images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from small_training import SAVED, Case, resume, train, trainer_of
from two_processes import Tensors, on_two_processes

from monai_dino.errors import ConfigurationError
from monai_dino.evaluation.feature_provenance import encoder_hash
from monai_dino.networks import DinoEncoder
from monai_dino.ssl import distribute

FOLDER = "FOLDER_OF_DISTRIBUTED_CHECKPOINTS"
SOFTMAX = {"centering": "softmax"}
CASES = {
    "full": Case(settings={"head_warmup": 0.5}),
    "gram": Case(settings={"gram_weight": 1.0, "gram_start": 0.25, "gram_refresh": 2, **SOFTMAX}),
    "freeze_blocks": Case({"mode": "full", "freeze_blocks": 1}, {**SOFTMAX, "separate_ibot_head": False}),
    "lora": Case({"mode": "lora", "rank": 2}, {"gram_weight": 1.0, "head_warmup": 0.5, "norm_last_layer": True}),
    "bitfit": Case({"mode": "bitfit"}, SOFTMAX),
    "parts": Case({"mode": "lora", "rank": 2, "freeze_blocks": 1}, {"head_warmup": 0.25}, parts=2),
    "taught": Case(settings={"head_warmup": 0.25}, taught=True),
}
RESUMED = ("gram", "lora")
HALF = {"bf16": ("bf16", 1.0), "fp16": ("fp16", 1.0), "overflow": ("fp16", 2.0**24)}  # precision, scale of the loss
DISTRIBUTIONS = ("ddp", "fsdp")
TOLERANCE = 1e-5


def features(encoder: DinoEncoder) -> torch.Tensor:
    """Of the teacher's encoder alone, as one looks at it before and after a training."""
    images = torch.rand(2, 1, 24, 32, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return torch.cat([encoder(images).cls, encoder.intermediate(images, [0])[0].mean(dim=(2, 3))])


def trainings(distribution: str, folder: Path) -> Tensors:
    found: Tensors = {}
    for name, case in CASES.items():
        trainer = trainer_of(case, distribution)  # type: ignore[arg-type]
        made = {"features_before": features(trainer.network.average.encoder)}
        made |= train(trainer, folder / f"{distribution}.{name}" if name in RESUMED else None)
        if case.taught:  # a checkpoint names its teacher by this
            hashed = bytes.fromhex(encoder_hash(trainer.network.frozen_teacher.encoder))
            made["features_teacher"] = torch.tensor(list(hashed), dtype=torch.float64)
        made["features_after"] = features(trainer.network.average.encoder)
        found |= {f"{name}/{key}": value for key, value in made.items()}
    return found


def resumed(distribution: str, written_by: str, folder: Path) -> Tensors:
    found: Tensors = {}
    for name in RESUMED:
        made = resume(trainer_of(CASES[name], distribution, seed=9), folder / f"{written_by}.{name}")  # type: ignore[arg-type]
        found |= {f"{name}/{key}": value for key, value in made.items()}
    return found


def unwrapped() -> Tensors:
    """The mistake of an earlier program: the student is called past its wrapper, which then averages nothing."""
    trainer = trainer_of(CASES["full"], "ddp")
    trainer.network.call_student_through(trainer.network.student)
    return {f"full/{key}": value for key, value in train(trainer).items()}


def all_of_two_processes() -> Tensors:
    folder = Path(os.environ[FOLDER])
    found = {f"{d}:{key}": value for d in DISTRIBUTIONS for key, value in trainings(d, folder).items()}
    for reader, writer in (("ddp", "none"), ("fsdp", "none"), ("ddp", "fsdp"), ("fsdp", "ddp")):
        found |= {f"{reader} from {writer}:{key}": v for key, v in resumed(reader, writer, folder).items()}
    found |= {f"unwrapped:{key}": value for key, value in unwrapped().items()}
    for name, (precision, scale) in HALF.items():
        trainer = trainer_of(Case(precision=precision, dtype=torch.float32), "fsdp")  # type: ignore[arg-type]
        trainer.scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=precision == "fp16")
        found |= {f"{name}:{key}": value for key, value in train(trainer).items()}
    return found


Runs = dict[str, list[Tensors]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Name of a run -> what each of its processes found."""
    folder = tmp_path_factory.mktemp("checkpoints")
    found: Runs = {"none": [trainings("none", folder)]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(folder))
        for result in on_two_processes(all_of_two_processes, tmp_path_factory.mktemp("processes")):
            names = dict.fromkeys(key.partition(":")[0] for key in result)
            for name in names:
                own = {k.partition(":")[2]: v for k, v in result.items() if k.startswith(f"{name}:")}
                found.setdefault(name, []).append(own)
    for writer in DISTRIBUTIONS:
        found[f"none from {writer}"] = [resumed("none", writer, folder)]
    return found


def differences(first: Tensors, second: Tensors, case: str) -> dict[str, float]:
    """Names of a case whose values differ -> by how much; by which share, of those above 1."""
    one, two = ({k: v for k, v in values.items() if k.startswith(f"{case}/")} for values in (first, second))
    assert one
    assert one.keys() == two.keys()
    by = {key: float(((one[key] - two[key]).abs() / one[key].abs().clamp(min=1)).max()) for key in one}
    return {key: value for key, value in by.items() if not value <= TOLERANCE}


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("case", CASES)
def test_several_processes_train_as_one_does(runs: Runs, case: str, distribution: str) -> None:
    for result in runs[distribution]:
        assert not differences(runs["none"][0], result, case)


def test_the_trainings_do_something(runs: Runs) -> None:
    result = runs["none"][0]
    for case in CASES:
        assert float((result[f"{case}/features_after"] - result[f"{case}/features_before"]).abs().max()) > 1e-3
        assert float(result[f"{case}/4.norm_encoder"]) > 0.1, "clipping had nothing to do"
    assert "full/2.norm_encoder" not in result
    assert float(result["gram/4.gram"]) > 0


def test_a_student_called_past_its_wrapper_is_noticed(runs: Runs) -> None:
    first, second = runs["unwrapped"]
    apart = differences(first, second, "full")
    gradients = [n for n, value in first.items() if n.startswith("full/gradient.") and float(value.abs().max()) > 1e-3]
    assert len(gradients) > 20
    assert set(gradients) <= apart.keys()
    assert differences({key: value for key, value in runs["none"][0].items() if key in first}, first, "full")
    ddp = runs["ddp"]
    assert not differences(ddp[0], ddp[1], "full")


@pytest.mark.parametrize("case", RESUMED)
@pytest.mark.parametrize(
    "run", ["ddp from none", "fsdp from none", "ddp from fsdp", "fsdp from ddp", "none from ddp", "none from fsdp"]
)
def test_a_checkpoint_goes_on_in_another_distribution(runs: Runs, run: str, case: str) -> None:
    early = tuple(f"{case}/{what}" for what in ("features", *(f"{step}." for step in range(1, SAVED + 1))))
    expected = {key: value for key, value in runs["none"][0].items() if not key.startswith(early)}
    for result in runs[run]:
        assert not differences(expected, result, case)


@pytest.mark.parametrize("name", HALF)
def test_shards_agree_in_half_precision(runs: Runs, name: str) -> None:
    first, second = runs[name]
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)
    updates = {key: int(value) for key, value in first.items() if key.endswith(".step")}
    assert set(updates.values()) == {0 if name == "overflow" else 4}
    assert all(value.isfinite().all() for key, value in first.items() if key.startswith(("student.", "teacher.")))


def test_an_unknown_distribution_and_a_missing_group_are_refused() -> None:
    network = trainer_of(CASES["full"], "none").network
    assert distribute(network, "none") is network
    with pytest.raises(ConfigurationError, match="distribution: unknown 'dpp'"):
        distribute(network, "dpp")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="join_process_group"):
        distribute(network, "ddp")
