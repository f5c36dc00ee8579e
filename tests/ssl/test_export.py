# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pretraining import tiny_store, tiny_trainer

from monai_dino.checkpoints import write_checkpoint
from monai_dino.errors import CheckpointError
from monai_dino.handlers import RunCheckpointHandler, load_settings
from monai_dino.networks import DinoEncoder
from monai_dino.ssl import encoder_of_checkpoint, export_checkpoint

ADAPTATIONS: list[dict[str, Any]] = [
    {"mode": "full"},
    {"mode": "full", "freeze_blocks": 1},
    {"mode": "bitfit"},
    {"mode": "lora", "rank": 3},
]


@pytest.mark.parametrize("adaptation", ADAPTATIONS, ids=str)
def test_the_exported_encoders_are_those_of_the_training(tmp_path: Path, adaptation: dict[str, Any]) -> None:
    from transformers import AutoModel

    handler = RunCheckpointHandler(tmp_path / "checkpoints")
    trainer = tiny_trainer(
        tiny_store(tmp_path), 1, adaptation=adaptation, handlers=lambda _: [handler], learning_rate=0.05, momentum=0.5
    )
    start = trainer.network.student.encoder.eval()(torch.ones(1, 1, 32, 32)).cls.detach()
    trainer.run()
    x = torch.rand(2, 1, 48, 32)
    made = {}
    for which, network in (("teacher", trainer.network.teacher), ("student", trainer.network.student)):
        expected = network.encoder.eval()(x)
        export_checkpoint(tmp_path / "checkpoints", tmp_path / which, which)  # type: ignore[arg-type]
        loaded = DinoEncoder(weights=tmp_path / which).eval()
        torch.testing.assert_close(loaded(x).patches, expected.patches, atol=1e-5, rtol=1e-5)
        hugging_face = AutoModel.from_pretrained(tmp_path / which).eval()(x[:, :, :32]).last_hidden_state[:, 0]
        torch.testing.assert_close(hugging_face, network.encoder(x[:, :, :32]).cls, atol=1e-5, rtol=1e-5)
        made[which] = loaded(torch.ones(1, 1, 32, 32)).cls
    assert not torch.allclose(made["teacher"], made["student"])
    assert not torch.allclose(made["student"], start)


def test_settings_of_the_images_go_beside_the_encoder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, settings = tiny_store(tmp_path), {"plane": "sagittal", "image_size": 32, "window": (0, 9)}
    for name, kept in (("with", settings), ("without", None)):
        handler = RunCheckpointHandler(tmp_path / name / "checkpoints", settings=kept)
        tiny_trainer(store, 1, handlers=lambda _, h=handler: [h]).run()
    with caplog.at_level("WARNING"):
        export_checkpoint(tmp_path / "with" / "checkpoints", tmp_path / "with" / "encoder")
    assert load_settings(tmp_path / "with" / "encoder" / "settings.json", {}) == settings | {"window": [0, 9]}
    assert "how its images were prepared" not in caplog.text
    with caplog.at_level("WARNING"):
        export_checkpoint(tmp_path / "without" / "checkpoints", tmp_path / "with" / "encoder")
    assert not (tmp_path / "with" / "encoder" / "settings.json").exists()
    assert "does not state how its images were prepared" in caplog.text


def test_no_checkpoint_or_one_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint; name the ckpt_dir of a training"):
        encoder_of_checkpoint(tmp_path)
    write_checkpoint(tmp_path, 3, {"x": torch.zeros(1)}, {"run": {}})
    with pytest.raises(CheckpointError, match="is no checkpoint of a self-supervised training"):
        encoder_of_checkpoint(tmp_path)
