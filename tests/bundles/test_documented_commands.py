# SPDX-License-Identifier: Apache-2.0
"""What the documents tell a person to type."""

from __future__ import annotations

import pytest
from bundle_texts import REPOSITORY, documented_commands

from monai_dino.console import refuse_unknown_settings
from monai_dino.errors import ConfigurationError

COMMANDS = documented_commands()
TRAININGS = [place for place, command in COMMANDS.items() if "configs/train.json" in " ".join(command)]


def test_commands_are_found() -> None:
    bundles = {COMMANDS[place][COMMANDS[place].index("--bundle_root") + 1] for place in TRAININGS}
    assert bundles == {"dino_classification", "dino_pretrain", "dino_segmentation"}
    assert sum("multi_gpu_train.json" in " ".join(COMMANDS[place]) for place in TRAININGS) >= 3
    assert sum("distill.json" in " ".join(COMMANDS[place]) for place in TRAININGS) >= 1
    assert "docs/how-to/several-gpus.md 2" in TRAININGS  # in a script


@pytest.mark.parametrize("place", COMMANDS)
def test_settings_are_known(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY / "bundles")
    argv = ["monai/bundle/__main__.py", *COMMANDS[place]]
    refuse_unknown_settings(argv)
    with pytest.raises(ConfigurationError, match=r"dataset_dirs: no setting of .*did you mean dataset_dir\?$"):
        refuse_unknown_settings([*argv, "--dataset_dirs", "DATA"])


@pytest.mark.parametrize("place", TRAININGS)
def test_trainings_say_which_encoder(place: str) -> None:
    """All bundles have neither weights nor an encoder by default, and refuse to train so."""
    assert {"--weights", "--encoder"} & set(COMMANDS[place])
