# SPDX-License-Identifier: Apache-2.0
"""The gallery shows each transform."""

from __future__ import annotations

from pathlib import Path

from monai.transforms import Randomizable

from monai_dino import transforms

DOCS = Path(__file__).resolve().parents[2] / "docs"
# Bases, what calls others, what makes no picture.
WITHOUT = {"RandAlongBeams", "RandEachView", "RandParametric", "RandPerImage", "RandSampleSlices", "RandViewSeed"}


def test_each_transform_has_a_picture_that_is_drawn() -> None:
    page, script = (DOCS / "reference" / "gallery.md").read_text(), (DOCS / "gallery.py").read_text()
    kinds = {name: getattr(transforms, name) for name in transforms.__all__ if not name.endswith(("d", "D", "Dict"))}
    found = {name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Randomizable)}
    assert len(found) > 20
    for name in found - WITHOUT | {"SectorMask"}:
        assert f"### {name}\n" in page, name
        assert f"![{name}](../_gallery/{name}.png)" in page, name
        assert f'"{name}"' in script, name
