# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
from pathlib import Path

import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from run_folders import classification_run, explanation, written
from torch.utils.data import DataLoader

from monai_dino.handlers import ExplanationWriter
from monai_dino.visualize.report import write_run_report


def test_explanations(tmp_path: Path) -> None:
    run_dir = classification_run(tmp_path / "run")
    output = {
        "image": MetaTensor(torch.rand(1, 28, 42, 5)),
        "pred": torch.rand(5, 2, 3, 5),
        "attention": MetaTensor(torch.rand(1, 28, 42, 5)),
        "colours": MetaTensor(torch.rand(3, 28, 42, 5)),
    }
    engine = Engine(lambda engine, batch: [output])
    ExplanationWriter(run_dir / "explained").attach(engine)
    engine.run(DataLoader([{"case": "one"}], collate_fn=list))
    page = written(write_run_report(run_dir))
    assert "Missing: Attention" not in page
    assert "Missing: PCA" not in page
    assert page.count('<figure class="viewer">') == 2
    assert "<h3>Cases explained</h3>" in page


def test_names_of_cases_make_no_explanations(tmp_path: Path) -> None:
    """A mask of a prostate cancer is no PCA, and pictures of a paper about attention are just pictures."""
    run_dir = classification_run(tmp_path / "run")
    explanation(tmp_path / "other")
    mask = tmp_path / "other" / "explain" / "case1_attention.nii.gz"
    for name in ("PCa_001_seg.nii.gz", "attention_002_seg.nii.gz", "x_features.nii.gz_seg.nii.gz"):
        shutil.copy(mask, run_dir / name)
    (run_dir / "pca_and_attention").mkdir()
    shutil.copy(next((tmp_path / "other").rglob("*.png")), run_dir / "pca_and_attention" / "free.png")
    page = written(write_run_report(run_dir))
    assert '<figure class="viewer">' not in page
    for part in ("Attention", "PCA of patch features"):
        assert f"Missing: {part}" in page
    assert page.index("Other pictures") < page.index('alt="pca_and_attention/free.png"')
