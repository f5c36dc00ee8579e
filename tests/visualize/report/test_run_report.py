# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import html
import re
from pathlib import Path

import nibabel as nib
import pytest
from run_folders import NASTY, classification_run, explanation, pretraining_run, segmentation_run, written

from monai_dino.errors import ConfigurationError, DatalistError
from monai_dino.files import write_csv, write_json
from monai_dino.visualize.report import write_run_report


def report(run_dir: Path, **options: object) -> str:
    return written(write_run_report(run_dir, **options))  # type: ignore[arg-type]


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_segmentation_without_its_data(tmp_path: Path) -> None:
    page = report(segmentation_run(tmp_path / "run"), cases=1)
    assert headings(page) == [
        "Failures first", "Metrics", "Sample predictions", "Curves", "Attention and PCA", "Data", "Configuration",
    ]  # fmt: skip
    # The worst first; where there was nothing to find and nothing was found, nothing failed.
    assert "No case failed outright." in page
    assert "neither mask" not in page
    body = page[page.index("<body") :]
    assert body.index(html.escape(NASTY)) < body.index(">healthy<")
    assert "loss is not finite in 1 rows, first at epoch 2" in page
    assert "the schedule ran to its end" in page
    for part in ("Pictures", "Sample predictions", "Attention", "PCA of patch features", "Sizes of the volumes"):
        assert f"Missing: {part}" in page


def test_no_text_of_a_user_becomes_html(tmp_path: Path) -> None:
    run_dir = segmentation_run(tmp_path / "run")
    write_json(run_dir / "models" / "settings.json", {"class_names": [NASTY], NASTY: NASTY, "modality": NASTY})
    write_csv(run_dir / "tables" / "free.csv", [{NASTY: NASTY}])
    (run_dir / "eval" / "<img src=x>.json").write_text("{", encoding="utf-8")
    page = report(run_dir)
    assert "<script>alert" not in page
    assert "<img" not in page
    assert page.count("<script>") == 1
    assert html.escape(NASTY) in page


def test_nothing_is_fetched(tmp_path: Path) -> None:
    run_dir = segmentation_run(tmp_path / "run", tmp_path / "data")
    explanation(run_dir)
    page = report(run_dir, dataset_dir=tmp_path / "data")
    targets = re.findall(r'(?:src|href|action|data|poster|srcset)="([^"]*)"', page)
    assert targets
    assert all(t.startswith(("data:image/webp;base64,", "#")) for t in targets)
    assert not re.search(r"url\(|@import|<link|<iframe|fetch\(|XMLHttpRequest|import\(", page)
    assert "default-src &#x27;none&#x27;" in page


def test_no_path_outside_the_folder_is_shown(tmp_path: Path) -> None:
    page = report(segmentation_run(tmp_path / "run"))
    assert "/home/someone" not in page
    assert ".../datalist.json" in page
    assert str(tmp_path) not in page


def test_images_of_the_data_are_shown_where_it_is_named(tmp_path: Path) -> None:
    run_dir = segmentation_run(tmp_path / "run", tmp_path / "data")
    page = report(run_dir, dataset_dir=tmp_path / "data", cases=1)
    assert "ball: missed, nothing was predicted" in page
    assert page.count('<figure class="viewer">') == 2  # the worst, and the other as a sample
    assert page.count('data-mask="prediction"') == 2
    assert "images and truths of the data folder" in page
    assert "<td>training</td>" in page.replace(' data-sort="training"', "")


def test_a_prediction_of_another_image_is_said(tmp_path: Path) -> None:
    run_dir = segmentation_run(tmp_path / "run", tmp_path / "data")
    other = run_dir / "output" / "case4_seg.nii.gz"
    explanation(tmp_path / "other")
    (tmp_path / "other" / "explain" / "case1_attention.nii.gz").replace(other)
    place = run_dir / "output" / "case5_seg.nii.gz"
    mask = nib.load(place)
    mask.affine[:3, 3] += 5
    nib.save(nib.Nifti1Image(mask.get_fdata(), mask.affine), place)
    page = report(run_dir, dataset_dir=tmp_path / "data")
    assert "case4: the prediction: its shape" in page
    assert "case5: the prediction: lies elsewhere in the patient than the image" in page
    assert page.count("it belongs to another image, predict the case again") == 2


def test_a_segmentation_without_its_predictions_is_said(tmp_path: Path) -> None:
    run_dir = segmentation_run(tmp_path / "run", tmp_path / "data")
    assert "Missing: Predicted masks" not in report(run_dir, dataset_dir=tmp_path / "data", cases=1)
    for path in (run_dir / "output").iterdir():
        path.unlink()
    page = report(run_dir, dataset_dir=tmp_path / "data", cases=1)
    assert page.count('<figure class="viewer">') == 2
    for case in ("case4", "case5"):  # the worst, and the sample
        assert f"No predicted mask of {case} is in the run folder" in page


def test_classification(tmp_path: Path) -> None:
    page = report(classification_run(tmp_path / "run"))
    assert "b taken for" not in page
    assert page.index("a taken for b (probability 0.8)") < page.index("<h2>Metrics")
    assert 'class="num wrong" style="--share:0.50"' in page


@pytest.mark.parametrize(
    ("steps", "collapse", "words"),
    [(40, None, ("Finished", "Healthy")), (80, "uniform", ("Unfinished", "Collapsed"))],
)
def test_pretraining(steps: int, collapse: str | None, words: tuple[str, ...], tmp_path: Path) -> None:
    page = report(pretraining_run(tmp_path / "run", steps=steps, collapse=collapse))
    assert all(f"<strong>{word}</strong>" in page for word in words)
    assert ("a lower rate" in page) == (collapse is not None)
    assert "Views" in headings(page)
    assert page.count('alt="runs/views/epoch_0001.png"') == 1
    assert "Effective rank of the features" in page
    assert "Missing: k-NN" in page


@pytest.mark.parametrize("kept", [0, 200])
def test_a_damaged_map_is_named_and_the_page_written(kept: int, tmp_path: Path) -> None:
    run_dir = classification_run(tmp_path / "run")
    explanation(run_dir)
    damaged = next(run_dir.rglob("*_attention.nii.gz"))
    damaged.write_bytes(damaged.read_bytes()[:kept])
    page = report(run_dir)
    assert "cannot be read, it may be truncated or damaged" in page
    assert damaged.name in page


def test_predictions_without_truth(tmp_path: Path) -> None:
    write_csv(tmp_path / "predictions.csv", [{"case": "x", "ball_mm3": 0.0}, {"case": "y", "ball_mm3": 8.0}])
    page = report(tmp_path)
    assert "nothing was found in 1 cases: x" in page
    assert "Missing: Metrics" in page


def test_a_second_report_does_not_count_the_first(tmp_path: Path) -> None:
    run_dir = classification_run(tmp_path / "run")
    page = re.sub(r"on \d{4}-.*?\.", "", report(run_dir))
    assert re.sub(r"on \d{4}-.*?\.", "", report(run_dir)) == page


def test_wrong_arguments(tmp_path: Path) -> None:
    run_dir = classification_run(tmp_path / "run")
    with pytest.raises(ConfigurationError, match="cases=-1"):
        write_run_report(run_dir, cases=-1)
    with pytest.raises(DatalistError, match=r"there is no file"):
        write_run_report(run_dir, dataset_dir=tmp_path)
