# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from monai_dino.data.finding import Finding, from_error, ordered
from monai_dino.errors import InputError


def test_an_error_is_taken_apart() -> None:
    finding = from_error("a", "unusable", InputError("x.nii: is\ndamaged; copy it again; or so"))
    assert finding == Finding("a", "error", "unusable", "x.nii: is damaged", "copy it again; or so")
    what = "x.dcm: cannot be decoded (RLE: too short; 3 bytes)"  # as a decoder may put it
    assert from_error("a", "unusable", InputError(f"{what}; copy it")) == Finding(
        "a", "error", "unusable", what, "copy it"
    )
    assert from_error("a", "unusable", InputError("no remedy")).remedy == ""


def test_the_worst_come_first_and_topics_together() -> None:
    severities = ("note", "warning", "error")
    found = [Finding(case, s, topic, "", "") for case in "ba" for s in severities for topic in ("y", "x")]  # type: ignore[arg-type]
    keys = [(f.severity, f.topic, f.case) for f in ordered(found)]
    assert keys == [(s, topic, case) for s in ("error", "warning", "note") for topic in "xy" for case in "ab"]
