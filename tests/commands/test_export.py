# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
from ignite.engine import Engine, Events
from pretraining import tiny_store, tiny_trainer

from monai_dino.commands import main
from monai_dino.handlers import ExportHandler, RunCheckpointHandler
from monai_dino.handlers.settings import load_settings
from monai_dino.networks import DinoEncoder


def test_the_command_writes_what_the_handler_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints = RunCheckpointHandler(tmp_path / "checkpoints", settings={"modality": "mr"})
    export = ExportHandler(tmp_path / "checkpoints", tmp_path / "models", checkpoints, {"modality": "mr"})
    tiny_trainer(tiny_store(tmp_path), 1, handlers=lambda _: [checkpoints, export]).run()
    assert "models/teacher (use it as weights)" in capsys.readouterr().out
    for which in ("teacher", "student"):
        assert main(["export", str(tmp_path / "checkpoints"), str(tmp_path / which), "--which", which]) == 0
        one, other = (DinoEncoder(weights=folder / which).state_dict() for folder in (tmp_path / "models", tmp_path))
        assert all((one[name] == other[name]).all() for name in one)
        for folder in (tmp_path / "models", tmp_path):
            assert load_settings(folder / which / "model.safetensors", {}) == {"modality": "mr"}


@pytest.mark.parametrize(("scores", "said"), [((0.6, 0.5), True), ((0.4, 0.5), False)])
def test_a_training_that_lost_what_labels_ask_for_is_said(
    scores: tuple[float, float], said: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(engine: Engine) -> None:
        engine.state.metrics["accuracy"] = scores[engine.state.iteration > 0]

    checkpoints = RunCheckpointHandler(tmp_path / "checkpoints", score="accuracy")
    export = ExportHandler(tmp_path / "checkpoints", tmp_path / "models", checkpoints)
    trainer = tiny_trainer(tiny_store(tmp_path), 1)
    for event in (Events.EPOCH_STARTED, Events.EPOCH_COMPLETED):
        trainer.add_event_handler(event, measure)
    checkpoints.attach(trainer)
    export.attach(trainer)
    trainer.run()
    printed = capsys.readouterr().out
    assert "best of step 5 (0.5000)" in printed
    assert ("but accuracy was 0.6000 before the first step, and never as high again" in printed) == said


def test_nothing_to_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), str(tmp_path / "out")]) == 1
    assert "error: " in capsys.readouterr().err
