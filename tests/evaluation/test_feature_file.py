# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from common import TINY
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import list_data_collate
from safetensors.numpy import load_file, save_file

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation import (
    FeatureProvenance,
    Features,
    LinearProbe,
    cached_features,
    feature_provenance,
    read_features,
    write_features,
)
from monai_dino.networks import DinoEncoder

PROVENANCE = FeatureProvenance("w", {"modality": "us", "image_size": [28, 28]}, "d")


@pytest.fixture
def encoder() -> DinoEncoder:
    torch.manual_seed(0)
    return DinoEncoder(TINY["dinov2"]).eval()


def batches(count: int = 8) -> list[dict[str, Any]]:
    torch.manual_seed(1)
    image = torch.rand(count, 1, 28, 28)
    made = [{"image": image[i], "case": f"c{i}", "patient": f"p{i}", "label": i % 2} for i in range(count)]
    return [list_data_collate(made[i : i + 2]) for i in range(0, count, 2)]


def cases(folder: Path) -> list[dict[str, Any]]:
    for k in range(4):
        (folder / f"{k}.png").write_bytes(bytes([k]))
    return [{"image": str(folder / f"{k}.png"), "case": f"c{k}", "label": k % 2} for k in range(4)]


def random_features(seed: int, rows: int, blocks: int, labels: int | None) -> Features:
    rng = np.random.default_rng(seed)
    shape = (rows, blocks, 3)
    return Features(
        rng.normal(size=shape).astype(np.float32),
        rng.normal(size=shape).astype(np.float32),
        tuple(range(5, 5 + blocks)),
        np.array([f"Fälle/{k // 2} \u2603" for k in range(rows)]),
        np.array([f"p{k // 4}" for k in range(rows)]),
        np.arange(rows) % 2,
        None if labels is None else rng.integers(2, size=(rows, labels) if labels else rows),
    )


def assert_equal(found: Features, wanted: Features) -> None:
    assert found.blocks == wanted.blocks
    for name in ("cls", "patches", "case", "patient", "index", "label"):
        if getattr(wanted, name) is None:
            assert getattr(found, name) is None
        else:
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), st.integers(1, 9), st.integers(1, 3), st.sampled_from([None, 0, 1, 3]))
def test_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, seed: int, rows: int, blocks: int, labels: int | None
) -> None:
    path = tmp_path_factory.mktemp("f") / "deep" / "features.safetensors"
    features = random_features(seed, rows, blocks, labels)
    write_features(path, features, PROVENANCE)
    found = read_features(path, PROVENANCE)
    assert_equal(found, features)
    assert found.cls.dtype == np.float32
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (FeatureProvenance("x", PROVENANCE.preprocessing, "d"), "weights differ; delete"),
        (FeatureProvenance("w", PROVENANCE.preprocessing, "x"), "datalist differs; delete"),
        (
            FeatureProvenance("w", {"modality": "us", "image_size": [56, 56]}, "d"),
            r"preprocessing \(image_size: \[28, 28\] in the file, \[56, 56\] wanted\) differs",
        ),
        (FeatureProvenance("x", {"modality": "us"}, "x"), r"weights, preprocessing \(image_size.*\), datalist differ;"),
        (FeatureProvenance("w", {**PROVENANCE.preprocessing, "window": None}, "d"), "window: None in the file, None"),
    ],
)
def test_names_what_does_not_fit(tmp_path: Path, other: FeatureProvenance, words: str) -> None:
    write_features(tmp_path / "f.safetensors", random_features(0, 4, 1, 0), PROVENANCE)
    with pytest.raises(InputError, match=words):
        read_features(tmp_path / "f.safetensors", other)
    assert len(read_features(tmp_path / "f.safetensors")) == 4


def test_what_is_no_features_is_refused_and_never_replaced(encoder: DinoEncoder, tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    with pytest.raises(InputError, match="there is no such file"):
        read_features(path)
    write_features(path, random_features(0, 4, 1, 0), PROVENANCE)
    whole, arrays = path.read_bytes(), load_file(path)
    about = {"blocks": [5], "case": ["a"], "patient": ["b"], "provenance": PROVENANCE.__dict__}
    header = {"format": "monai_dino features 1", "about": json.dumps(about)}
    save_file({"weight": np.zeros(3)}, tmp_path / "weights.safetensors")
    save_file(arrays | {"index": np.zeros(3, np.int64)}, tmp_path / "rows.safetensors", header)
    save_file(arrays | {"case": np.full(4, 7)}, tmp_path / "names.safetensors", header)
    save_file(arrays | {"case": np.full(4, -1)}, tmp_path / "below.safetensors", header)
    (tmp_path / "short.safetensors").write_bytes(whole[:-10])
    provenance = feature_provenance(encoder, {}, [])
    for name in ("weights", "rows", "names", "below", "short"):
        file = tmp_path / f"{name}.safetensors"
        before = file.read_bytes()
        with pytest.raises(InputError, match=f"{name}.safetensors: cannot be read as features"):
            read_features(file)
        with pytest.raises(InputError, match="name another file"):
            cached_features(file, encoder, batches(), provenance, progress=False)
        assert file.read_bytes() == before


def test_the_hash_is_of_weights_and_architecture(encoder: DinoEncoder) -> None:
    def weights(other: DinoEncoder) -> str:
        return feature_provenance(other, {}, []).weights

    same = DinoEncoder(TINY["dinov2"])
    same.load_state_dict(encoder.state_dict())
    assert weights(encoder) == weights(same.train())
    with torch.no_grad():
        same.norm.bias[3] += 1e-6
    assert weights(encoder) != weights(same)
    heads = DinoEncoder({**TINY["dinov2"], "num_attention_heads": 4})  # the same tensors, computed with otherwise
    heads.load_state_dict(encoder.state_dict())
    assert weights(encoder) != weights(heads)
    before = weights(encoder)
    assert before != weights(encoder.bfloat16())


def test_adapters_and_their_scale_count(encoder: DinoEncoder) -> None:
    from monai_dino.networks import adapt

    state = {k: v.clone() for k, v in encoder.state_dict().items()}
    found = {feature_provenance(encoder, {}, []).weights}
    adapt(encoder, "full")
    assert {feature_provenance(encoder, {}, []).weights} == found
    for alpha in (2.0, 4.0):
        adapted = DinoEncoder(TINY["dinov2"])
        adapted.load_state_dict(state)
        torch.manual_seed(0)
        adapt(adapted, "lora", rank=2, alpha=alpha)
        found.add(feature_provenance(adapted, {}, []).weights)
    assert len(found) == 3


def test_the_hash_of_cases_sees_edits_labels_names_and_order(encoder: DinoEncoder, tmp_path: Path) -> None:
    items = cases(tmp_path)

    def datalist(items: list[dict[str, Any]]) -> str:
        return feature_provenance(encoder, {}, items).datalist

    first = datalist(items)
    assert datalist([{**item, "label": np.int64(item["label"])} for item in items]) == first
    changed = [
        items[::-1],
        items[:3],
        [{**item, "label": 0} for item in items],
        [{**item, "label": [0, 1]} for item in items],
        [{**item, "patient": "p"} for item in items],
        [{**item, "case": "c"} for item in items],
    ]
    assert len({first, *map(datalist, changed)}) == 1 + len(changed)
    (tmp_path / "2.png").write_bytes(b"other")
    assert datalist(items) != first
    (tmp_path / "2.png").unlink()
    with pytest.raises(InputError, match=r"2\.png: there is no such file"):
        datalist(items)


def test_settings_are_what_json_gives_back(encoder: DinoEncoder) -> None:
    assert feature_provenance(encoder, {"window": (0, 1)}, []).preprocessing["window"] == [0, 1]
    for value in (float("nan"), object()):
        with pytest.raises(ConfigurationError, match="preprocessing: "):
            feature_provenance(encoder, {"window": value}, [])


def test_all_epochs_and_heads_cost_one_pass(encoder: DinoEncoder, tmp_path: Path) -> None:
    passes = []
    encoder.blocks[0].register_forward_hook(lambda *args: passes.append(1))
    path, provenance = tmp_path / "f.safetensors", feature_provenance(encoder, {}, cases(tmp_path))
    loader, fitted = batches(), []
    for max_epochs in (1, 50):
        features = cached_features(path, encoder, loader, provenance, [0, 1, 2, -1], "fp32", progress=False)
        assert len(passes) == len(loader)
        fitted.append(LinearProbe(max_epochs=max_epochs, tolerance=1e-30).fit(features))
    assert len(passes) == len(loader)
    assert len(fitted[1].about["grid"]) == 2 * 2 * 3
    assert fitted[1].about["epochs"] == 50


def test_computes_anew_and_says_why(encoder: DinoEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "monai_dino")
    logging.getLogger("monai_dino").propagate = True
    path, items = tmp_path / "f.safetensors", cases(tmp_path)

    def why(preprocessing: dict[str, Any], blocks: list[int] | None = None, precision: Any = "fp32") -> str:
        caplog.clear()
        provenance = feature_provenance(encoder, preprocessing, items)
        found = cached_features(path, encoder, batches(), provenance, blocks, precision, progress=False)
        assert_equal(cached_features(path, encoder, [], provenance, blocks, precision), found)
        return caplog.messages[0].split("since ")[1] if caplog.messages else ""

    assert why({"size": 28}) == "there is no such file yet"
    assert why({"size": 28}) == why({"size": 28}, [3]) == why({"size": 28}, [-1]) == ""
    assert why({"size": 29}) == "preprocessing (size: 28 in the file, 29 wanted) differs"
    assert why({"size": 29}, [0, 3]) == "blocks ((3,) in the file, (0, 3) wanted) differ"
    assert why({"size": 29}, [0, 3], "bf16") == (
        "preprocessing (precision: 'float32' in the file, 'bfloat16' wanted) differs"
    )
    with torch.no_grad():
        encoder.norm.bias[0] = 1
    assert why({"size": 29}, [0, 3], "bf16") == "weights differ"
    (tmp_path / "1.png").write_bytes(b"other")
    assert why({"size": 29}, [0, 3], "bf16") == "datalist differs"
    for blocks in ([], [4], [-5]):
        with pytest.raises(ConfigurationError, match="blocks 0 to 3"):
            why({"size": 29}, blocks, "bf16")


def test_a_provenance_of_other_weights_is_refused(encoder: DinoEncoder, tmp_path: Path) -> None:
    provenance = feature_provenance(encoder, {}, [])
    with torch.no_grad():
        encoder.norm.bias[0] = 1
    with pytest.raises(ConfigurationError, match="provenance: it is of another encoder"):
        cached_features(tmp_path / "f.safetensors", encoder, batches(), provenance)
