"""The report: one file that shows everything it holds without a network, and nothing that it was not meant to."""

import base64
import re
from html.parser import HTMLParser

import pytest

from keras_vae.pages import html

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")
EMPTY = {"meta", "img", "br", "hr", "link"}


class Balanced(HTMLParser):
    """Fails where an end tag does not match; keeps text by tag, and attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.attributes = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        self.text.append((self.open[-1] if self.open else "", data))

    def of(self, tag):
        return [data for where, data in self.text if where == tag]


@pytest.fixture
def page(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    return html.page(
        "β-VAE <1>",
        "nats & bits",
        [
            html.heading('Kept "as is"'),
            html.paragraph("p(x|z) < q(z|x) & <script>alert(1)</script>"),
            html.table(["metric", "a<b"], [["elbo", "-84.1 ± 0.2"], ["<td>", "</table>"]]),
            html.preformatted("[a]\n  b = '<c>'"),
            html.picture(tmp_path / "a.png", 'He said "<b>"'),
        ],
    )


def test_tags_are_balanced_and_text_is_escaped(page):
    parsed = Balanced(page)
    assert parsed.of("title") == parsed.of("h1") == ["β-VAE <1>"]
    assert parsed.of("h2") == ['Kept "as is"']
    assert parsed.of("p") == ["nats & bits", "p(x|z) < q(z|x) & <script>alert(1)</script>"]
    assert parsed.of("th") == ["metric", "a<b"]
    assert parsed.of("td") == ["elbo", "-84.1 ± 0.2", "<td>", "</table>"]
    assert parsed.of("pre") == ["[a]\n  b = '<c>'"]
    assert parsed.of("figcaption") == ['He said "<b>"']
    assert ("img", "alt", 'He said "<b>"') in parsed.attributes
    assert page.startswith("<!doctype html>") and ("meta", "charset", "utf-8") in parsed.attributes


def test_pictures_are_inside(page):
    sources = [value for _, name, value in Balanced(page).attributes if name == "src"]
    assert len(sources) == 1
    kind, _, data = sources[0].partition(",")
    assert kind == "data:image/png;base64" and base64.b64decode(data) == PNG


def test_nothing_is_loaded_from_anywhere(page):
    parsed = Balanced(page)
    assert not re.search(r"(https?:)?//[a-z]", page), "no address"
    assert not {tag for tag, _, _ in parsed.attributes} & {"script", "link", "iframe", "object"}
    assert "@import" not in page and "url(" not in page
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]


def test_a_cards_markdown_becomes_parts():
    parsed = Balanced(html.page("t", "s", html.from_markdown([
        "## Measured", "", "On `test`,", "in nats.", "", "| metric | value |", "| --- | ---: |",
        "| KL(q(z\\|x)) | 1.00 ± 0.10 |", "| `x` |  |", "", "After.",
    ])))  # fmt: skip
    assert parsed.of("h2") == ["Measured"] and parsed.of("p") == ["s", "On test, in nats.", "After."]
    assert parsed.of("th") == ["metric", "value"] and parsed.of("td")[:3] == ["KL(q(z|x))", "1.00 ± 0.10", "x"]


def test_the_same_parts_are_the_same_bytes(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    first, second = (html.page("t", "s", [html.picture(tmp_path / "a.png", "c")]) for _ in range(2))
    assert first == second
