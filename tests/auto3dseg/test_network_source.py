# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from monai_dino.auto3dseg.budget import Budget
from monai_dino.auto3dseg.contestants import Contestant
from monai_dino.auto3dseg.job import Job
from monai_dino.auto3dseg.network_source import source_digests


def key(network: dict[str, object]) -> str:
    contestant = replace(Contestant("mine", "a test"), network=network)
    rest = {"settings": {}, "volume": None, "budget": Budget(steps=1), "cases": []}
    return Job.of(contestant, 0, Path("folder"), "data", None, **rest).key


def test_a_change_of_ones_own_network_is_another_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_networks.py").write_text("class Net: pass")
    network = {"_target_": "monai_dino.auto3dseg.wrappers.PaddedNetwork", "network": {"_target_": "my_networks.Net"}}
    assert list(source_digests(network)) == ["my_networks"]
    before = key(network)
    assert key(network) == before
    (tmp_path / "my_networks.py").write_text("class Net: changed = True")
    assert key(network) != before


def test_of_a_package_every_module_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("from my_package.deep import Net")
    (package / "deep.py").write_text("class Net: pass")
    network: dict[str, object] = {"_target_": "my_package.Net"}
    before = key(network)
    (package / "deep.py").write_text("class Net: changed = True")
    assert key(network) != before


def test_the_class_of_a_method_is_no_module_and_a_broken_parent_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_builder.py").write_text("class Net: pass")
    assert list(source_digests({"_target_": "my_builder.Net.build"})) == ["my_builder"]
    (tmp_path / "my_broken").mkdir()
    (tmp_path / "my_broken" / "__init__.py").write_text("1 / 0")
    (tmp_path / "my_broken" / "nets.py").write_text("class Net: pass")
    assert list(source_digests({"_target_": "my_broken.nets.Net"})) == ["my_broken"]


def test_what_has_a_version_or_is_not_there_has_no_digest() -> None:
    for target in ("monai.networks.nets.UNet", "torch.nn.Identity", "not_there.Net", "not_there.deep.Net", "Net"):
        assert source_digests({"_target_": target}) == {}
    assert source_digests(None) == {}
