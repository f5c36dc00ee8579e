# SPDX-License-Identifier: Apache-2.0
"""What a resume may change; that the handler asks is tested in test_run_checkpoint.py."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from monai_dino.errors import CheckpointError, ConfigurationError
from monai_dino.handlers.run_values import check_length, refuse_changes, warn_of_changes, warn_of_schedules
from monai_dino.ssl import Schedules
from monai_dino.ssl.presets import ssl_settings
from monai_dino.transforms import medical_views, view_values

FOLDER = Path("checkpoints/step_7")
SETTINGS: dict[str, Any] = {
    **{"modality": "ct", "window": [0, 80], "plane": "axial", "fill": None, "in_channels": 1},
    **{"image_size": 224, "neighbours": 1, "channels": []},
}
RUN: dict[str, Any] = {
    **{"architecture": {"model_type": "vit"}, "in_channels": 3, "adaptation": {"mode": "full"}, "teacher": None},
    **{"clip_norm": 3.0, "precision": "bf16", "settings": SETTINGS, "data": {"fold": 0, "recipe": "dino"}},
}
OTHER: dict[str, Any] = {
    **{"modality": "mr", "window": (0, 81), "plane": "sagittal", "fill": 0, "in_channels": 3},
    **{"image_size": 98, "neighbours": 0},
}


def test_the_same_values_are_neither_refused_nor_named(caplog: pytest.LogCaptureFixture) -> None:
    present = RUN | {"settings": SETTINGS | {"window": (0, 80)}}  # which a checkpoint brings back as a list
    refuse_changes(RUN, present, FOLDER)
    warn_of_changes(RUN, present, FOLDER)
    assert caplog.messages == []


@pytest.mark.parametrize("key", OTHER)
def test_images_that_are_prepared_otherwise_are_refused(key: str) -> None:
    present = RUN | {"settings": SETTINGS | {key: OTHER[key]}}
    with pytest.raises(CheckpointError, match=rf"step_7: was made with {key} .*, which is now .*another ckpt_dir"):
        refuse_changes(RUN, present, FOLDER)


@pytest.mark.parametrize(("saved", "present"), [(0, None), (None, 0), (0, 1)])
def test_another_fold_is_refused(saved: int | None, present: int | None) -> None:
    with pytest.raises(CheckpointError, match=f"was made with fold {saved}, which is now {present}; set it back"):
        refuse_changes(RUN | {"data": {"fold": saved}}, RUN | {"data": {"fold": present}}, FOLDER)


def test_other_weights_are_refused() -> None:
    """They would not be used: the checkpoint's would take their place."""
    with pytest.raises(CheckpointError, match=r"was made with weights 'ab', which is now 'cd'; .* another bundle_root"):
        refuse_changes(RUN | {"data": {"weights": "ab"}}, RUN | {"data": {"weights": "cd"}}, FOLDER)


@pytest.mark.parametrize(("before", "now", "said"), [(100, 100, False), (100, 200, True)])
def test_what_more_epochs_make_of_the_rates_is_said(
    before: int, now: int, said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ssl_settings("dinov2", learning_rate=1.0).resolved(4, False)
    warn_of_schedules(
        SimpleNamespace(schedules=Schedules(settings, now)), {"steps": before}, 100 - 40 * (not said), FOLDER
    )
    assert bool(caplog.messages) == said
    if said:
        expected = Schedules(settings, 200)(100)
        assert f"to {expected.learning_rate:.3g}, the momentum" in caplog.text
        assert f"to {expected.momentum:.5g}" in caplog.text
        assert expected.learning_rate > 0.4


def test_other_changes_are_named_by_their_key(caplog: pytest.LogCaptureFixture) -> None:
    present = RUN | {"clip_norm": 2.0, "precision": "fp32", "data": {"fold": 0, "recipe": "dinov2"}}
    present |= {"settings": SETTINGS | {"channels": ["_0000"]}}
    refuse_changes(RUN, present, FOLDER)
    warn_of_changes(RUN, present, FOLDER)
    (message,) = caplog.messages
    assert message.startswith(str(FOLDER))
    for change in ("clip_norm was 3.0, is 2.0", "precision was bf16, is fp32", "recipe was dino, is dinov2"):
        assert change in message
    assert "channels was [], is ['_0000']" in message
    assert "in_channels" not in message  # the encoder's are not the image's, with neighbours


def test_changed_views_are_named(caplog: pytest.LogCaptureFixture) -> None:
    made = [view_values(medical_views("mr", **more)) for more in ({}, {"local_count": 4}, {"artefacts": False})]
    runs = [RUN | {"data": {"fold": 0, "views": json.loads(json.dumps(values))}} for values in made]
    warn_of_changes(runs[0], RUN | {"data": {"fold": 0, "views": made[0]}}, FOLDER)
    warn_of_changes(runs[0], RUN, FOLDER)
    assert caplog.messages == []
    warn_of_changes(runs[0], runs[1], FOLDER)
    assert caplog.messages[0].endswith("of the views RandMultiCropd 0, RandMultiCrop, views, local_count was 8, is 4")
    warn_of_changes(runs[0], runs[2], FOLDER)
    assert "RandPerImage 1, prob was 0.2, is None" in caplog.messages[1]
    assert re.search(r"and \d+ more of the views$", caplog.messages[1])


def test_what_an_older_checkpoint_does_not_have_is_not_compared(caplog: pytest.LogCaptureFixture) -> None:
    older = {key: value for key, value in RUN.items() if key not in ("settings", "data")} | {"precision": "auto"}
    refuse_changes(older, RUN, FOLDER)
    warn_of_changes(older, RUN, FOLDER)
    assert caplog.messages == []


def test_a_run_that_would_have_ended_before_is_refused() -> None:
    trainer = SimpleNamespace(
        state=SimpleNamespace(max_epochs=1),
        sampler=SimpleNamespace(samples=20, batch_size=4),
        schedules=SimpleNamespace(total=5),
    )
    check_length(trainer, 5, FOLDER)
    with pytest.raises(ConfigurationError) as error:
        check_length(trainer, 6, FOLDER)
    for part in (str(FOLDER), "after step 6", "epochs=1", "batch_size=4", "only 5 steps", "another ckpt_dir"):
        assert part in str(error.value)
