# SPDX-License-Identifier: Apache-2.0
"""What MONAI's own tools and the bundles' documents promise."""

from __future__ import annotations

import copy
import json
import shutil
from importlib.metadata import version
from pathlib import Path
from pydoc import locate
from typing import Any

import pytest
import torch
from bundle_runs import (
    BUNDLES,
    CLASSIFICATION,
    SEGMENTATION,
    best_of_training,
    bundle_arguments,
    clean_process,
    command,
    copy_bundle,
    open_bundle,
    read_summary,
    read_table,
    run_bundle,
)
from bundle_texts import documented_settings, read_config, targets_in
from common import FIXTURES, TINY
from monai.bundle import ConfigParser, ckpt_export, verify_metadata, verify_net_in_out
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS
from monai.bundle.workflows import ConfigWorkflow
from synthetic import write_balls, write_stripes

from monai_dino.commands.bundles import bundles_path

CONFIGS = ("train", "evaluate", "inference", "multi_gpu_train")
FURTHER = {"dino_classification": ("explain", "knn", "linear_probe", "few_shot", "cross_validation")}
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data(balls: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Data for each bundle."""
    return dict(zip(BUNDLES, (balls, write_stripes(tmp_path_factory.mktemp("data") / "stripes")), strict=True))


@pytest.fixture(scope="module")
def trained(
    trained_segmenter: Path, data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Each bundle, trained."""
    classifier = copy_bundle("dino_classification", tmp_path_factory.mktemp("bundles") / "classifier")
    run_bundle(classifier, "train", dataset_dir=data["dino_classification"], **CLASSIFICATION)
    return dict(zip(BUNDLES, (trained_segmenter, classifier), strict=True))


@pytest.mark.parametrize("name", BUNDLES)
def test_files_of_a_bundle(name: str) -> None:
    root = bundles_path() / name
    files = {p.relative_to(root).as_posix() for folder in ("configs", "docs") for p in (root / folder).rglob("*")}
    configs = (*CONFIGS, *FURTHER.get(name, ()), "metadata")
    assert files == {f"configs/{config}.json" for config in configs} | {"docs/README.md"}
    assert (root / "LICENSE").read_text() == (REPOSITORY / "LICENSE").read_text()
    assert not list(root.rglob("*.py"))


@pytest.mark.parametrize("name", BUNDLES)
def test_metadata_fits_the_schema(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = tmp_path / "eval" / "schema.json"
    schema.parent.mkdir()
    shutil.copyfile(FIXTURES / "bundle_metadata_schema.json", schema)
    metadata = bundles_path() / name / "configs" / "metadata.json"
    verify_metadata(meta_file=str(metadata), filepath=str(schema))

    content = json.loads(metadata.read_text())
    del content["network_data_format"]
    broken = tmp_path / "metadata.json"
    broken.write_text(json.dumps(content))
    with pytest.raises(Exception, match="network_data_format"):
        verify_metadata(meta_file=str(broken), filepath=str(schema))


@pytest.mark.parametrize("name", BUNDLES)
def test_network_fits_the_metadata(name: str) -> None:
    configs = bundles_path() / name / "configs"
    arguments = {"meta_file": str(configs / "metadata.json"), "config_file": str(configs / "inference.json")}
    verify_net_in_out(net_id="network_def", device="cpu", **arguments)
    small: dict[str, Any] = {"encoder": dict(TINY["dinov2"]), "image_size": 56}
    verify_net_in_out(net_id="network_def", device="cpu", any=70, **small, **arguments)
    with pytest.raises(ValueError, match="output channel number"):
        verify_net_in_out(net_id="network_def", device="cpu", out_channels=3, **small, **arguments)


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize("config", ["train", "inference", "evaluate"])
def test_properties(name: str, config: str, trained: dict[str, Path], data: dict[str, Path]) -> None:
    settings = {"dataset_dir": data[name], "batch_size": 2}
    if config == "train":
        settings |= SEGMENTATION if name == "dino_segmentation" else CLASSIFICATION
    workflow = open_bundle(trained[name], config, **settings)
    with clean_process():
        workflow.initialize()
        assert workflow.check_properties() == []
        # A property that is there only by name would fail when it is taken.
        engine = workflow.trainer if config == "train" else workflow.evaluator
        assert engine.state is not None
        assert len(workflow.train_dataset if config == "train" else workflow.dataset) > 0


@pytest.mark.parametrize("name", BUNDLES)
def test_export_by_tracing(name: str, trained: dict[str, Path], tmp_path: Path) -> None:
    configs = trained[name] / "configs"
    segments = name == "dino_segmentation"
    shape = [1, 1, 56, 56] if segments else [1, 1, 56, 56, 4]
    ckpt_export(
        net_id="network_def", filepath=str(tmp_path / "model.ts"), ckpt_file=str(trained[name] / "models" / "model.pt"),
        meta_file=str(configs / "metadata.json"), config_file=str(configs / "inference.json"), use_trace=True,
        input_shape=shape, bundle_root=str(trained[name]),
    )  # fmt: skip
    traced = torch.jit.load(tmp_path / "model.ts")
    network = open_bundle(trained[name], "inference").parser.get_parsed_content("network").eval()
    torch.manual_seed(0)
    for other in (shape, [2, 1, 84, 45, *shape[4:]], [3, 1, 30, 112, *shape[4:]]):
        x = torch.rand(*other)
        with torch.no_grad():
            wanted = network(x)
            assert wanted.std() > 1e-4
            torch.testing.assert_close(traced(x), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", BUNDLES)
def test_two_processes_train_one_network(name: str, tmp_path: Path) -> None:
    """Also with a number of validation cases that two processes cannot share evenly."""
    segments = name == "dino_segmentation"
    root = write_balls(tmp_path / "data") if segments else write_stripes(tmp_path / "data")
    content = json.loads((root / "datalist.json").read_text())
    content["training"] = content["training"][:6]
    for index, item in enumerate(content["training"]):
        item["fold"] = int(index > 2)
    content["training"] += [item | {"fold": 1} for item in content.pop("testing")]
    (root / "datalist.json").write_text(json.dumps(content))
    bundle = copy_bundle(name, tmp_path / "my_model")
    settings = {"dataset_dir": "data", "num_workers": 0, "batch_size": 2}
    settings = (SEGMENTATION | {"samples_per_epoch": 8} if segments else CLASSIFICATION) | settings
    run, module, *rest = bundle_arguments("my_model", "train", **settings)
    configs = "['my_model/configs/train.json','my_model/configs/multi_gpu_train.json']"
    rest[rest.index("--config_file") + 1] = configs
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = command(*launcher, run, module, *rest, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("wrote my_model/models/model.pt") == 1
    assert {p.name for p in (bundle / "models").iterdir()} == {"model.pt", "settings.json"}
    assert len(read_table(bundle / "runs" / "training.csv")) == settings["epochs"]
    assert not any(key.startswith("module.") for key in torch.load(bundle / "models" / "model.pt", weights_only=True))
    run_bundle(bundle, "evaluate", dataset_dir=root, split="validation", precision="fp32")
    kind, group, metric, key = (
        ("segmentation", "ball", "dice", "val_mean_dice")
        if segments
        else ("classification", "all", "auroc", "val_auroc")
    )
    found = read_summary(bundle / "eval" / f"{kind}.json")[group][metric]
    assert found["n"] == 3
    assert found["value"] == pytest.approx(best_of_training(bundle, key), abs=1e-6)


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize("config", CONFIGS)
def test_targets_are_full_paths(name: str, config: str) -> None:
    targets = list(targets_in(read_config(name, config)))
    assert targets
    for target in targets:
        assert target.split(".")[0] in ("monai", "monai_dino", "torch"), target
        assert callable(locate(target)), target


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return f"`{value}`" if isinstance(value, str) else f"{value:g}"


@pytest.mark.parametrize("name", BUNDLES)
def test_documents_name_the_settings(name: str) -> None:
    """Settable is what has a plain value; the rest is derived from it, or says where things go."""
    plain = {
        key: _shown(value)
        for key, value in read_config(name, "train").items()
        if not isinstance(value, (list, dict)) and not (isinstance(value, str) and value.startswith(("$", "@")))
    }
    del plain["bundle_root"]
    assert documented_settings(name) == plain | {"modality": "that of the datalist"}


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize("config", ["evaluate", "inference"])
def test_defaults_without_a_training_are_those_of_training(name: str, config: str) -> None:
    train, other = read_config(name, "train"), read_config(name, config)
    defaults = other["trained"]["defaults"]
    later = {"encoder", "class_names", "modality", "channels"}  # depend on weights and data that are not there yet
    assert {k: v for k, v in defaults.items() if k not in later} == {k: train[k] for k in defaults if k not in later}
    kept = set(train["settings"])
    assert kept >= set(defaults)
    if config == "evaluate":
        assert kept == set(defaults) | {"channels", "fingerprint"}
    assert all(other[key] == f"$@trained['{key}']" for key in defaults)


def test_required_versions_are_those_tested_with() -> None:
    constraints = REPOSITORY / "constraints.txt"
    pins: dict[str, str] = {}
    if constraints.is_file():
        lines = (line.split("#")[0].split(";")[0].strip() for line in constraints.read_text().splitlines())
        pairs = (line.split("==") for line in lines if "==" in line)
        pins = {name.strip().lower().replace("_", "-"): number.strip() for name, number in pairs}
    metadata = [read_config(name, "metadata") for name in BUNDLES]
    fields = ("monai_version", "pytorch_version", "numpy_version", "required_packages_version", "version")
    assert all(metadata[0][field] == metadata[1][field] for field in fields)
    required = dict(metadata[0]["required_packages_version"])
    required |= {
        p: metadata[0][f"{f}_version"] for p, f in (("monai", "monai"), ("torch", "pytorch"), ("numpy", "numpy"))
    }
    for package, number in required.items():
        tested = pins.get(package.lower()) or version(package)
        assert number == tested.split("+")[0], package
    for content in metadata:
        assert content["version"] in content["changelog"]


@pytest.mark.parametrize("name", BUNDLES)
def test_monai_can_add_its_tracking(name: str) -> None:
    """``--tracking mlflow`` appends to lists of handlers."""
    parser = ConfigParser()
    parser.read_config(bundles_path() / name / "configs" / "train.json")
    parser["save_execute_config"] = False
    ConfigWorkflow.patch_bundle_tracking(parser, copy.deepcopy(DEFAULT_EXP_MGMT_SETTINGS["mlflow"]))
    for part in [part for part in ("train", "validate") if part in parser]:
        assert "MLFlowHandler" in str(parser[part]["handlers"][-1])
