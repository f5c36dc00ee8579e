# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import write_series
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.data.pairing import Pairing, pair_classes, pair_masks, pair_table
from monai_dino.errors import DatalistError


@pytest.fixture
def make(tmp_path: Path) -> Any:
    def make_files(*names: str) -> Path:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return make_files


def pairs(root: Path, pairing: Pairing) -> dict[str, Any]:
    """Image(s) -> label(s), as names below the root."""

    def names(paths: Any) -> Any:
        return paths if isinstance(paths, str) else " ".join(p.relative_to(root).as_posix() for p in paths)

    assert len(pairing.images) == len(pairing.labels) == len(pairing.patients)
    return {names(i): names(label) for i, label in zip(pairing.images, pairing.labels, strict=True)}


def left_out(root: Path, pairing: Pairing) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): why for path, why in pairing.left_out.items()}


# Masks


def test_masks_in_a_folder_of_their_own(make: Any) -> None:
    root = make(
        "images/a.nii.gz", "images/b.jpg", "images/s/c.nii", "labels/a.nii", "labels/b_mask.png", "labels/s/c.nii"
    )
    expected = {
        "images/a.nii.gz": "labels/a.nii",
        "images/b.jpg": "labels/b_mask.png",
        "images/s/c.nii": "labels/s/c.nii",
    }
    assert pairs(root, pair_masks(root / "images", root / "labels", "_mask")) == expected


def test_numbered_masks_belong_to_one_image(make: Any) -> None:
    root = make("images/a.jpg", "masks/a_mask.png", "masks/a_mask_1.png", "masks/a_mask_12.png", "masks/a_mask_x.png")
    pairing = pair_masks(root / "images", root / "masks", "_mask")
    assert pairs(root, pairing) == {"images/a.jpg": "masks/a_mask.png masks/a_mask_1.png masks/a_mask_12.png"}
    assert left_out(root, pairing) == {"masks/a_mask_x.png": "a mask without an image"}


def test_masks_beside_the_images(make: Any) -> None:
    root = make("a.png", "a_mask.png", "b/c.png", "b/c_mask.png", "d.png", "e_mask.png")
    pairing = pair_masks(root, None, "_mask")
    assert pairs(root, pairing) == {"a.png": "a_mask.png", "b/c.png": "b/c_mask.png"}
    assert left_out(root, pairing) == {"d.png": "no mask named d_mask", "e_mask.png": "a mask without an image"}


def test_masks_in_a_folder_inside_the_images(make: Any) -> None:
    root = make("a.nii", "labels/a.nii")
    pairing = pair_masks(root, root / "labels", "_mask")
    assert pairs(root, pairing) == {"a.nii": "labels/a.nii"}
    assert not pairing.left_out


def test_another_mask_suffix(make: Any) -> None:
    root = make("a.nii.gz", "a_seg.nii.gz", "b.nii.gz", "b_mask.nii.gz", "c+.png", "c+_seg.png")
    pairing = pair_masks(root, None, "_seg")
    assert pairs(root, pairing) == {"a.nii.gz": "a_seg.nii.gz", "c+.png": "c+_seg.png"}
    assert set(left_out(root, pairing)) == {"b.nii.gz", "b_mask.nii.gz"}


def test_a_suffix_is_no_pattern(make: Any) -> None:
    root = make("a.png", "a.s.png", "axs.png")
    pairing = pair_masks(root, None, ".s")
    assert pairs(root, pairing) == {"a.png": "a.s.png"}


def test_channels_in_the_order_asked_for(make: Any) -> None:
    root = make("a_flair.nii.gz", "a_t2.nii.gz", "a_mask.nii.gz", "b_t2.nii.gz", "b_mask.nii.gz", "notes.nii.gz")
    pairing = pair_masks(root, None, "_mask", ["t2", "flair"])
    assert pairs(root, pairing) == {"a_t2.nii.gz a_flair.nii.gz": "a_mask.nii.gz"}
    assert left_out(root, pairing) == {
        "b_t2.nii.gz": "its case lacks the channels flair",
        "b_mask.nii.gz": "a mask without an image",
        "notes.nii.gz": "its name ends in none of _t2, _flair",
    }


def test_the_longest_channel_name_counts(make: Any) -> None:
    root = make("a_ce.nii", "a_t1_ce.nii", "a_mask.nii")
    pairing = pair_masks(root, None, "_mask", ["ce", "t1_ce"])
    assert pairs(root, pairing) == {"a_ce.nii a_t1_ce.nii": "a_mask.nii"}


def test_nnunet(make: Any) -> None:
    root = make("imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz")
    one = pair_masks(root / "imagesTr", root / "labelsTr", "_mask", ["0000"])
    assert pairs(root, one) == {"imagesTr/a_0000.nii.gz": "labelsTr/a.nii.gz"}
    assert left_out(root, one) == {"imagesTr/a_0001.nii.gz": "its name ends in none of _0000"}
    two = pair_masks(root / "imagesTr", root / "labelsTr", "_mask", ["0000", "0001"])
    assert pairs(root, two) == {"imagesTr/a_0000.nii.gz imagesTr/a_0001.nii.gz": "labelsTr/a.nii.gz"}


def test_dicom_series_with_nifti_masks(make: Any) -> None:
    root = make("labels/p1.nii.gz")
    write_series(root / "images" / "p1", np.zeros((3, 4, 5), "<i2"))
    assert pairs(root, pair_masks(root / "images", root / "labels", "_mask")) == {"images/p1": "labels/p1.nii.gz"}


def test_two_images_of_one_name_are_told(make: Any) -> None:
    root = make("images/a.jpg", "images/a.png", "labels/a.png")
    pairing = pair_masks(root / "images", root / "labels", "_mask")
    assert pairs(root, pairing) == {"images/a.jpg": "labels/a.png"}
    assert left_out(root, pairing) == {"images/a.png": "a.jpg has the same name"}


def test_mixed_dicom_folders_are_told(make: Any) -> None:
    root = make("images/a.nii", "labels/b.nii")
    uids: Any = ["1.1", "1.2", "1.2"]
    for part in ("images", "labels"):
        write_series(root / part / "mixed", np.zeros((3, 4, 3), "<i2"), SeriesInstanceUID=uids)
    pairing = pair_masks(root / "images", root / "labels", "_mask")
    assert {"images/mixed", "labels/mixed"} <= left_out(root, pairing).keys()


@settings(deadline=None, max_examples=25)
@given(names=st.sets(st.sampled_from([f"{s}{e}" for s in "abc" for e in (".png", "_mask.png", "_mask_1.png")])))
def test_nothing_vanishes(names: set[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("files")
    for name in names:
        (root / name).touch()
    pairing = pair_masks(root, None, "_mask")
    taken = [p.name for parts in (*pairing.images, *pairing.labels) for p in parts if isinstance(p, Path)]
    assert sorted([*taken, *left_out(root, pairing)]) == sorted(names)


@pytest.mark.parametrize(("images", "masks"), [("nothing", "labels"), ("images", "nothing")])
def test_folders_must_exist(images: str, masks: str, make: Any) -> None:
    root = make("images/a.nii", "labels/a.nii")
    with pytest.raises(DatalistError, match="nothing: there is no such folder"):
        pair_masks(root / images, root / masks, "_mask")


# Classes


def test_one_folder_per_class(make: Any) -> None:
    root = make("benign/a.png", "benign/x/b.png", "malignant/a.png", "stray.png", "notes.txt")
    pairing = pair_classes(root)
    expected = {"benign/a.png": "benign", "benign/x/b.png": "benign", "malignant/a.png": "malignant"}
    assert pairs(root, pairing) == expected
    assert left_out(root, pairing) == {"stray.png": "not in a class folder"}


def test_classes_of_series_and_of_channels(make: Any) -> None:
    root = make("ill/a_t1.nii", "ill/a_t2.nii", "ill/b_t1.nii")
    assert pairs(root, pair_classes(root, ["t1", "t2"])) == {"ill/a_t1.nii ill/a_t2.nii": "ill"}
    write_series(root / "well" / "s1", np.zeros((3, 4, 5), "<i2"))
    assert pairs(root, pair_classes(root))["well/s1"] == "well"


# Tables


def table(root: Path, text: str, encoding: str = "utf-8") -> Path:
    path = root / "table.csv"
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_classes_and_patients_from_a_table(encoding: str, make: Any) -> None:
    root = make("a.png", "x/b.nii.gz", "c.png", "d.png")
    text = "label,image,patient,age\nill,a.png,p1,50\nwell,x/b,p2,60\nill,c,,70\nwell,gone,p3,1\n"
    pairing = pair_table(root, table(root, text, encoding))
    assert pairs(root, pairing) == {"a.png": "ill", "x/b.nii.gz": "well", "c.png": "ill"}
    assert pairing.patients == ["p1", "p2", None]
    assert left_out(root, pairing) == {"gone": "named in table.csv, but not there", "d.png": "not named in table.csv"}


def test_dicom_series_in_a_table(make: Any) -> None:
    root = make()
    write_series(root / "s1", np.zeros((3, 4, 5), "<i2"))
    assert pairs(root, pair_table(root, table(root, "image,label\ns1,ill\n"))) == {"s1": "ill"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs the columns image and label .*, it has nothing"),
        ("image,label\n", "it has nothing"),
        ("file,label\na,ill\n", "it has file, label"),
        ("file,label\na,ill,more\n", "it has file, label"),
        ("image;label\na;ill\n", "it has image;label"),
        ("image,label\na,ill\na.png,ill\n", r"names a\.png twice"),
        ("image,label\nb,ill\n", r"b may be b\.jpg or b\.png; add the suffix"),
        ("image,label\na\n", "states no label for a"),
        ("image,label\na,\n", "states no label for a"),
    ],
)
def test_tables_that_are_refused(text: str, message: str, make: Any) -> None:
    root = make("a.png", "b.png", "b.jpg")
    with pytest.raises(DatalistError, match=rf"table\.csv: .*{message}"):
        pair_table(root, table(root, text))


def test_unreadable_tables(make: Any) -> None:
    root = make("a.png")
    with pytest.raises(DatalistError, match=r"gone\.csv: cannot be read as CSV"):
        pair_table(root, root / "gone.csv")
    (root / "bytes.csv").write_bytes(b"image,label\n\xff\xfe,x\n")
    with pytest.raises(DatalistError, match=r"bytes\.csv: cannot be read as CSV"):
        pair_table(root, root / "bytes.csv")


def test_a_short_row_names_no_image(make: Any) -> None:
    root = make("a.png")
    pairing = pair_table(root, table(root, "label,image\nill,a\nwell\n"))
    assert pairs(root, pairing) == {"a.png": "ill"}
    assert list(pairing.left_out.values()) == ["named in table.csv, but not there"]
