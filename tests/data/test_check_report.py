# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from monai_dino.data.check_case import CaseReport
from monai_dino.data.check_dataset import summary
from monai_dino.data.check_report import as_json, as_text
from monai_dino.data.finding import Finding, from_error, ordered
from monai_dino.errors import InputError

text = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
findings = st.builds(Finding, text, st.sampled_from(["error", "warning", "note"]), text, text, text)


@given(found=st.lists(findings, max_size=12))
def test_lines_fit_and_the_worst_come_first(found: list[Finding]) -> None:
    shown = as_text(found, summary([CaseReport("a", "training", "p")], []))
    assert all(len(line) <= 120 for line in shown.splitlines())
    order = [f.severity for f in ordered(found)]
    assert order == sorted(order, key=["error", "warning", "note"].index)
    counts = {kind: order.count(kind) for kind in ("error", "warning", "note")}
    assert shown.splitlines()[-1] == ", ".join(f"{n} {kind}{'' if n == 1 else 's'}" for kind, n in counts.items())


def test_many_of_a_kind_are_cut_short() -> None:
    found = [Finding(f"case{k}", "warning", "size", "small", "look") for k in range(30)]
    shown = as_text(found, summary([], []))
    assert "case0" in shown
    assert "and 25 more" in shown
    assert "case9" not in shown


def test_an_error_is_taken_apart() -> None:
    finding = from_error("a", "unusable", InputError("x.nii: is\ndamaged; copy it again; or so"))
    assert finding == Finding("a", "error", "unusable", "x.nii: is damaged", "copy it again; or so")


def test_json_holds_everything() -> None:
    report = CaseReport("a", "training", "p", digests={"a.nii": "12"}, volumes={1: 2.0})
    finding = Finding("a", "note", "label", "empty", "fine")
    content = json.loads(json.dumps(as_json("d.json", [report], [finding], summary([report], []))))
    assert content["files"] == {"a.nii": "12"}
    assert (
        content["findings"]
        == content["cases"][0]["findings"]
        == [{"case": "a", "severity": "note", "topic": "label", "what": "empty", "remedy": "fine"}]
    )
    assert content["cases"][0]["volumes"] == {"1": 2.0}
