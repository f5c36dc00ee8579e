# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import configparser
import json
from pathlib import Path

import pytest

import monai_dino
from monai_dino.commands import bundles, main
from monai_dino.errors import ConfigurationError

ROOT = Path(monai_dino.__file__).parents[1]
NAMES = ["dino_classification", "dino_pretrain", "dino_segmentation"]


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_listing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundles"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    for name, line in zip(NAMES, lines, strict=True):
        metadata = json.loads((bundles.bundles_path() / name / "configs" / "metadata.json").read_text())
        assert line == f"{name} {metadata['version']}  {metadata['task']}"


@pytest.mark.parametrize("name", NAMES)
def test_copying_out(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    destination = tmp_path / "new" / "mine"
    assert main(["bundles", name, str(destination)]) == 0
    assert f"copied {name} to {destination}" in capsys.readouterr().out
    source = files(bundles.bundles_path() / name)
    copied = files(destination)
    assert copied == {path: source[path] for path in copied}
    configs = {
        "train",
        "distill" if name == "dino_pretrain" else "evaluate",
        "inference",
        "multi_gpu_train",
        "metadata",
    }
    assert {*(f"configs/{c}.json" for c in configs), "docs/README.md", "LICENSE"} <= copied.keys()
    assert {path.split("/")[0] for path in copied} == {"configs", "docs", "LICENSE"}


def test_results_of_a_checkout_are_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("configs/metadata.json", "docs/README.md", "LICENSE", "models/model.pt", "eval/metrics.csv"):
        (tmp_path / "bundles" / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bundles" / "mine" / name).touch()
    (tmp_path / "bundles" / "no_bundle").mkdir()
    monkeypatch.setattr(bundles, "bundles_path", lambda: tmp_path / "bundles")
    assert main(["bundles", "mine", str(tmp_path / "copy")]) == 0
    assert set(files(tmp_path / "copy")) == {"configs/metadata.json", "docs/README.md", "LICENSE"}


def test_what_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").touch()
    assert main(["bundles", NAMES[0], str(tmp_path / "mine")]) == 1
    assert f"error: {tmp_path / 'mine'} is there already; name a folder that is not" in capsys.readouterr().err
    assert set(files(tmp_path / "mine")) == {"kept"}


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundles", "dino", str(tmp_path / "mine")]) == 1
    assert f"no bundle 'dino'; there are {', '.join(NAMES)}" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()
    assert main(["bundles", NAMES[1]]) == 1
    assert "where to? python -m monai_dino bundles dino_pretrain DESTINATION" in capsys.readouterr().err


def test_where_the_bundles_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "monai_dino"
    package.mkdir()
    monkeypatch.setattr(monai_dino, "__file__", str(package / "__init__.py"))
    with pytest.raises(ConfigurationError, match=r"the bundles are neither in .*; install the package again"):
        bundles.bundles_path()
    (tmp_path / "bundles").mkdir()
    assert bundles.bundles_path() == tmp_path / "bundles"
    (package / "bundles").mkdir()
    assert bundles.bundles_path() == package / "bundles"


# A wheel is built from these declarations.


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    if not (ROOT / "setup.cfg").is_file():
        pytest.skip("not run from a checkout")
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_a_wheel_holds_every_package(setup: configparser.ConfigParser) -> None:
    declared = setup["options"]["packages"].split()
    folders = {p.parent.relative_to(ROOT) for p in (ROOT / "monai_dino").rglob("*.py")}
    real = {".".join(f.parts) for f in folders if "templates" not in f.parts}  # those are data of auto3dseg
    assert sorted(declared) == sorted([*real, "monai_dino.bundles"])
    assert setup["options"]["package_dir"].split() == ["monai_dino.bundles", "=", "bundles"]


def test_a_wheel_holds_every_file_of_the_bundles(setup: configparser.ConfigParser) -> None:
    globs = setup["options.package_data"]["monai_dino.bundles"].split()
    packed = {path for glob in globs for path in (ROOT / "bundles").glob(glob) if path.is_file()}
    # models, logs and results that a run leaves in a checkout do not belong into it
    whole = {
        path
        for name in NAMES
        for part in ("configs", "docs", "LICENSE")
        for path in [(ROOT / "bundles" / name / part), *(ROOT / "bundles" / name / part).rglob("*")]
        if path.is_file()
    }
    assert packed == whole
    assert (ROOT / "monai_dino" / setup["options.package_data"]["monai_dino"].strip()).is_file()
