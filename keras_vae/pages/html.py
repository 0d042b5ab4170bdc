"""Self-contained HTML pages: text, tables and pictures in a single file that needs no network."""

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from keras_vae.runtimes.notebooks import html_table

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: color-mix(in srgb, currentColor 65%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: bottom }
td { white-space: nowrap } td:first-child { white-space: normal; min-width: 12rem }
th:first-child, td:first-child { text-align: left } caption { text-align: left; color: var(--soft) }
figure { margin: 1rem 0 } figcaption { color: var(--soft); font-size: .9rem }
img { max-width: 100%; background: #fff; image-rendering: auto } code { font-size: .9em }
"""


def paragraph(text: str) -> str:
    """Return a paragraph of text."""
    return f"<p>{html.escape(text)}</p>"


def heading(text: str) -> str:
    """Return the heading of a section."""
    return f"<h2>{html.escape(text)}</h2>"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells, which scrolls where it is wider than the page."""
    return f'<div class="scroll">{html_table(columns, rows)}</div>'


def preformatted(text: str) -> str:
    """Return text with its line breaks and spaces kept."""
    return f'<div class="scroll"><pre>{html.escape(text)}</pre></div>'


def from_markdown(lines: Sequence[str]) -> list[str]:
    """Return lines of Markdown as parts of a page: headings, paragraphs and tables; backticks are dropped."""
    parts: list[str] = []
    text: list[str] = []
    rows: list[list[str]] = []
    for line in [*lines, ""]:
        if line.startswith("|"):
            rows.append([_plain(cell.strip()) for cell in _CELLS.split(line.strip().strip("|"))])
            continue
        if rows:
            parts.append(table(rows[0], rows[2:]))  # the second row is the Markdown rule
            rows = []
        if line and not line.startswith("## "):
            text.append(_plain(line))
            continue
        if text:
            parts.append(paragraph(" ".join(text)))
            text = []
        if line:
            parts.append(heading(_plain(line.removeprefix("## "))))
    return parts


_CELLS = re.compile(r"(?<!\\)\|")


def _plain(text: str) -> str:
    return text.replace("\\|", "|").replace("`", "")


def picture(path: str | Path, caption: str) -> str:
    """Return a PNG file embedded in the page, with a caption that is its alternative text too."""
    data = base64.b64encode(Path(path).read_bytes()).decode()
    text = html.escape(caption, quote=True)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def page(title: str, subtitle: str, parts: Sequence[str]) -> str:
    """Return a page of its title, a line below that, and its parts."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{paragraph(subtitle)}\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )
