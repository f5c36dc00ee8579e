# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import html
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from monai_dino.visualize.report import Html, join, tag


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(), st.text())
def test_whatever_text_comes_stays_text(text: str, value: str) -> None:
    reader = _Reader()
    reader.feed(tag("p", text, title=value))
    reader.close()
    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    assert reader.text.replace("\r\n", "\n").replace("\r", "\n") == normal
    assert [name for name, _ in reader.elements] == ["p"]
    assert reader.elements[0][1] == {"title": value}


def test_html_is_kept_and_text_is_escaped() -> None:
    inner = tag("b", "<i>")
    assert inner == "<b>&lt;i&gt;</b>"
    assert tag("p", inner, "&", None) == "<p><b>&lt;i&gt;</b>&amp;</p>"
    assert join([inner, "<"]) == inner + html.escape("<")
    assert isinstance(join([]), Html)


def test_attributes() -> None:
    assert tag("input", class_="a", aria_label='"', hidden=True, checked=False, value=None, min=0) == (
        '<input class="a" aria-label="&quot;" hidden min="0">'
    )
    assert tag("meta", name="x") == '<meta name="x">'
