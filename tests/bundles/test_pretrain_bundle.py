# SPDX-License-Identifier: Apache-2.0
"""The pretraining bundle, from a datalist to an encoder that the other bundles take, as a user runs it."""

from __future__ import annotations

import json
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from pydoc import locate
from typing import Any

import numpy as np
import pytest
import torch
from bundle_runs import (
    bundle_arguments,
    clean_process,
    command,
    copy_bundle,
    messages_of,
    open_bundle,
    read_table,
    run_bundle,
)
from bundle_texts import documented_settings, read_config, targets_in
from common import FIXTURES, TINY
from monai.bundle import verify_metadata, verify_net_in_out
from synthetic import write_balls, write_datalist, write_stripes, write_volume

from monai_dino.checkpoints import find_checkpoints
from monai_dino.commands import main
from monai_dino.commands.bundles import bundles_path
from monai_dino.networks import DinoEncoder

NAME = "dino_pretrain"
CONFIGS = ("train", "distill", "inference", "multi_gpu_train", "evaluate", "explain")
HEADS = {"network_def::prototypes": 16, "network_def::head_hidden_dim": 32, "network_def::head_bottleneck_dim": 16}
TRAINING: dict[str, Any] = {
    **{"encoder": TINY["dinov2"], "image_size": 56, "local_views": 2, "epochs": 2, "batch_size": 4},
    **{"samples_per_epoch": 8, "precision": "fp32", "num_workers": 0, "log_interval": 1},
} | HEADS


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_balls(tmp_path_factory.mktemp("data") / "balls")


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stripes(tmp_path_factory.mktemp("data") / "stripes")


@pytest.fixture(scope="module")
def trained(data: Path, stripes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained bundle, with labelled cases whose datalist states no modality: they have that of the training."""
    bundle = copy_bundle(NAME, tmp_path_factory.mktemp("bundles") / "encoder")
    labelled = json.loads((stripes / "datalist.json").read_text())
    del labelled["modality"]
    (stripes / "labelled.json").write_text(json.dumps(labelled))
    knn = {"knn_datalist": str(stripes / "labelled.json"), "knn_dataset_dir": stripes, "knn_interval": 1}
    run_bundle(bundle, "train", dataset_dir=data, guided_views=1, **TRAINING, **knn)
    return bundle


def test_training_leaves_what_the_readme_says(trained: Path) -> None:
    assert find_checkpoints(trained / "checkpoints")[-1] == 4
    for name in ("teacher", "student", "best"):
        assert DinoEncoder(weights=trained / "models" / name).embed_dim == 32
        assert json.loads((trained / "models" / name / "settings.json").read_text())["modality"] == "mr"
    rows = read_table(trained / "runs" / "training.csv")
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
    assert all(float(row["ibot"]) > 0 and float(row["koleo"]) != 0 for row in rows)
    assert [int(row["step"]) for row in read_table(trained / "runs" / "knn.csv")] == [0, 2, 4]
    assert list((trained / "runs" / "views").glob("*.png"))
    assert list((trained / "runs" / "tensorboard").iterdir())


def test_a_finished_training_is_not_repeated_and_a_longer_one_goes_on(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "encoder"
    shutil.copytree(trained, bundle)
    shutil.rmtree(bundle / "models")
    run_bundle(bundle, "train", dataset_dir=data, **TRAINING)
    assert "nothing is left to train: step 4 is the last" in capsys.readouterr().out
    assert (bundle / "models" / "teacher" / "model.safetensors").is_file()
    assert len(read_table(bundle / "runs" / "training.csv")) == 4
    run_bundle(bundle, "train", dataset_dir=data, **(TRAINING | {"epochs": 3}))
    assert [int(row["step"]) for row in read_table(bundle / "runs" / "training.csv")] == [1, 2, 3, 4, 5, 6]
    longer = TRAINING | {"epochs": 3, "views::flip_prob": [0.0, 0.25]}
    run_bundle(bundle, "train", dataset_dir=data, **longer)
    assert "views, flip_prob was [0.5, 0.5], is [0.0, 0.25]" in capsys.readouterr().err
    for change, message in (
        ({"resume": False}, "holds checkpoints of another run"),
        ({"plane": "sagittal"}, "was made with plane 'axial', which is now 'sagittal'"),
        ({"fold": 0}, "was made with fold None, which is now 0"),
        ({"epochs": 1}, "was saved after step 6, but epochs=1"),
    ):
        with pytest.raises(RuntimeError) as error:
            run_bundle(bundle, "train", dataset_dir=data, **(TRAINING | change))
        assert message in messages_of(error.value), message


def test_a_checkpoint_is_exported_with_its_settings(trained: Path, tmp_path: Path) -> None:
    assert main(["export", str(trained / "checkpoints"), str(tmp_path / "encoder")]) == 0
    one, other = (folder / "settings.json" for folder in (trained / "models" / "teacher", tmp_path / "encoder"))
    assert json.loads(one.read_text()) == json.loads(other.read_text())


def test_embeddings_of_a_folder(trained: Path, data: Path, tmp_path: Path) -> None:
    run_bundle(trained, "inference", dataset_dir=data / "images", output_dir=tmp_path, precision="fp32")
    volumes, slices = read_table(tmp_path / "volumes.csv"), read_table(tmp_path / "slices.csv")
    assert [row["case"] for row in volumes] == [f"case{k}" for k in range(6)]
    assert len(slices) == 36
    assert len(volumes[0]) == 1 + 64
    of_first = [float(row["f5"]) for row in slices if row["case"] == "case0"]
    assert sum(of_first) / 6 == pytest.approx(float(volumes[0]["f5"]), abs=1e-5)


@pytest.mark.parametrize("name", ["dino_segmentation", "dino_classification"])
def test_the_other_bundles_take_the_encoder(
    name: str, trained: Path, data: Path, stripes: Path, tmp_path: Path
) -> None:
    bundle = copy_bundle(name, tmp_path / "model")
    settings = {"weights": str(trained / "models" / "teacher"), "image_size": 56, "epochs": 1, "num_workers": 0}
    settings |= {"dataset_dir": data if name == "dino_segmentation" else stripes, "precision": "fp32"}
    workflow = run_bundle(bundle, "train", **settings)
    pretrained = DinoEncoder(weights=trained / "models" / "teacher").state_dict()
    state = workflow.parser.get_parsed_content("network_def").encoder.state_dict()
    assert all(torch.equal(state[key], value) for key, value in pretrained.items())  # frozen by default


def open_distillation(bundle: Path, **settings: Any) -> Any:
    from monai.bundle import ConfigWorkflow

    return ConfigWorkflow(
        config_file=[str(bundle / "configs" / f"{name}.json") for name in ("train", "distill")],
        logging_file=False,
        workflow_type="train",
        bundle_root=str(bundle),
        **{key: str(value) if isinstance(value, Path) else value for key, value in settings.items()},
    )


def test_distillation(data: Path, tmp_path: Path) -> None:
    bundle = copy_bundle(NAME, tmp_path / "encoder")
    DinoEncoder(TINY["dinov3_vit"]).save_pretrained(tmp_path / "large")
    arguments = {"dataset_dir": data, **TRAINING, "epochs": 1}
    with clean_process(), pytest.raises(RuntimeError) as error:
        open_distillation(bundle, teacher=TINY["dinov3_vit"], **arguments).initialize()
    assert "teacher_weights: none are given" in messages_of(error.value)
    workflow = open_distillation(bundle, teacher_weights=str(tmp_path / "large"), **arguments)
    with clean_process():
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    assert DinoEncoder(weights=bundle / "models" / "teacher").embed_dim == 32
    assert DinoEncoder(weights=bundle / "models" / "teacher").patch_size == 14


@pytest.mark.parametrize("distribution", ["ddp", "fsdp"])
def test_two_processes_train_one_encoder_that_one_process_goes_on_with(
    distribution: str, data: Path, tmp_path: Path
) -> None:
    """With ddp as on two machines, each with a torchrun of its own."""
    bundle = copy_bundle(NAME, tmp_path / "encoder")
    settings = TRAINING | {"dataset_dir": str(data), "distribution": distribution, "adaptation": {"mode": "full"}}
    run, module, *rest = bundle_arguments("encoder", "train", **settings)
    rest[rest.index("--config_file") + 1] = "['encoder/configs/train.json','encoder/configs/multi_gpu_train.json']"
    machines = {"ddp": 2, "fsdp": 1}[distribution]
    with socket.create_server(("127.0.0.1", 0)) as free:
        meeting = f"--rdzv_id=1 --rdzv_backend=c10d --rdzv_endpoint=127.0.0.1:{free.getsockname()[1]}"
    launcher = ["-m", "torch.distributed.run", f"--nnodes={machines}", f"--nproc_per_node={2 // machines}"]
    arguments = [*launcher, *meeting.split(), run, module, *rest]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda _: command(*arguments, cwd=tmp_path), range(machines)))
    assert [done.returncode for done in found] == [0] * machines, [done.stderr[-9000:] for done in found]
    assert sum(done.stdout.count("(use it as weights)") for done in found) == 1
    assert len(read_table(bundle / "runs" / "training.csv")) == 4
    run_bundle(bundle, "train", dataset_dir=data, **(TRAINING | {"epochs": 3}))
    assert find_checkpoints(bundle / "checkpoints")[-1] == 6
    assert len(read_table(bundle / "runs" / "training.csv")) == 6


def test_bad_settings_name_the_key(data: Path, tmp_path: Path) -> None:
    bundle = copy_bundle(NAME, tmp_path / "encoder")
    unlabelled = json.loads((data / "datalist.json").read_text())
    for item in unlabelled["training"]:
        del item["label"]
    (data / "unlabelled.json").write_text(json.dumps(unlabelled))
    for change, message in (
        ({"guided_views": 2, "datalist": "unlabelled.json"}, "guided_views=2: no slice of the"),
        ({"preset": "dinov4"}, "preset: unknown 'dinov4'"),
        ({"local_size": 20}, "local_size: views of 20x20"),
        ({"image_size": 60}, "image_size=60 is not a multiple"),
        ({"adaptation": {"mode": "full", "freeze_blocks": 9}}, "freeze_blocks=9, but the encoder has 4 blocks"),
        ({"adaptation": {"mode": "lora", "targets": ["qkv"]}, "weights": "w"}, "qkv match no linear layer"),
        ({"adaptation": "lora"}, "weights: none are given"),
        ({"batch_size": 9}, "batch_size=9: an epoch has only 8 samples"),
        ({"network_def::koleo": 1}, "unknown values koleo"),
        ({"distribution": "ddp"}, "torchrun"),
    ):
        if change.pop("weights", None):
            DinoEncoder(TINY["dinov2"]).save_pretrained(tmp_path / "weights")
            change |= {"weights": str(tmp_path / "weights"), "encoder": None}
        with pytest.raises(Exception) as error:  # noqa: PT011 - one of MONAI's
            run_bundle(bundle, "train", dataset_dir=data, **(TRAINING | change))
        assert message in messages_of(error.value), message


def test_distillation_begins_as_a_training_does() -> None:
    """Its list of what is done first replaces the other, and would lose what is added there."""
    assert set(read_config(NAME, "train")["initialize"]) < set(read_config(NAME, "distill")["initialize"])


def test_files_and_targets() -> None:
    root = bundles_path() / NAME
    files = {p.relative_to(root).as_posix() for folder in ("configs", "docs") for p in (root / folder).rglob("*")}
    assert files == {f"configs/{config}.json" for config in (*CONFIGS, "metadata")} | {"docs/README.md"}
    for config in CONFIGS:
        for target in targets_in(read_config(NAME, config)):
            assert callable(locate(target)), target


def test_monai_tools_accept_it(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "eval").mkdir()
    shutil.copyfile(FIXTURES / "bundle_metadata_schema.json", tmp_path / "eval" / "schema.json")
    metadata = str(bundles_path() / NAME / "configs" / "metadata.json")
    verify_metadata(meta_file=metadata, filepath=str(tmp_path / "eval" / "schema.json"))
    bundle = copy_bundle(NAME, tmp_path / "encoder")
    DinoEncoder("dinov2_small").save_pretrained(tmp_path / "small")
    arguments = {"meta_file": metadata, "config_file": str(bundle / "configs" / "inference.json")}
    for size in (5, 70):
        verify_net_in_out(net_id="network_def", device="cpu", any=size, weights=str(tmp_path / "small"), **arguments)
    workflow = open_bundle(bundle, "train", dataset_dir=data, **TRAINING)
    with clean_process():
        workflow.initialize()
        assert workflow.check_properties() == []


@pytest.mark.parametrize(("from_weights", "adaptation", "rate"), [(True, "lora", 0.1), (False, "full", 1.0)])
def test_an_encoder_with_weights_is_changed_little(
    data: Path, tmp_path: Path, from_weights: bool, adaptation: str, rate: float
) -> None:
    DinoEncoder(TINY["dinov2"]).save_pretrained(tmp_path / "weights")
    start = {"weights": str(tmp_path / "weights"), "encoder": None} if from_weights else {}
    workflow = open_bundle(copy_bundle(NAME, tmp_path / "encoder"), "train", dataset_dir=data, **TRAINING | start)
    with clean_process():
        workflow.initialize()
        network = workflow.parser.get_parsed_content("network_def")
    assert network.student.encoder.adaptation["mode"] == adaptation
    assert network.settings.encoder_rate == rate


@pytest.mark.parametrize(("depth", "samples"), [(3, 50), (60, 60)])
def test_an_epoch_has_every_slice_or_fifty_steps(depth: int, samples: int, tmp_path: Path) -> None:
    volume = np.random.default_rng(0).normal(100, 10, (24, 24, depth)).astype(np.float32)
    image = write_volume(tmp_path / "data" / "case.nii.gz", volume)
    write_datalist(tmp_path / "data", ("background", "ball"), [{"image": image.name}], [])
    settings = TRAINING | {"dataset_dir": tmp_path / "data", "samples_per_epoch": None, "batch_size": 1}
    workflow = open_bundle(copy_bundle(NAME, tmp_path / "encoder"), "train", **settings)
    with clean_process():
        workflow.initialize()
        assert len(workflow.parser.get_parsed_content("train::dataset")) == samples


@pytest.mark.parametrize(("image_size", "local_size"), [(28, 14), (56, 28), (98, 42), (224, 98)])
def test_local_views_are_three_sevenths_of_the_global_ones(
    image_size: int, local_size: int, data: Path, tmp_path: Path
) -> None:
    settings = TRAINING | {"dataset_dir": data, "image_size": image_size}
    workflow = open_bundle(copy_bundle(NAME, tmp_path / "encoder"), "train", **settings)
    views = workflow.parser.get_parsed_content("views").transforms[0].transform.views
    assert (views.global_size, views.local_size) == (image_size, local_size)


def test_documents_name_the_settings() -> None:
    plain = {
        key: "none" if value is None else f"`{value}`" if isinstance(value, str) else str(value)
        for key, value in read_config(NAME, "train").items()
        if not isinstance(value, (list, dict)) and not (isinstance(value, str) and value.startswith(("$", "@")))
    }
    del plain["bundle_root"]
    conditional = {"modality": "that of the datalist", "adaptation": "`lora`; `full` without weights"}
    assert documented_settings(NAME) == plain | conditional


def test_versions_are_those_of_the_other_bundles() -> None:
    own, other = (read_config(name, "metadata") for name in (NAME, "dino_segmentation"))
    for field in ("monai_version", "pytorch_version", "numpy_version", "version"):
        assert own[field] == other[field]
    required = dict(own["required_packages_version"])
    assert required.pop("tensorboard") == version("tensorboard")
    assert required == other["required_packages_version"]
