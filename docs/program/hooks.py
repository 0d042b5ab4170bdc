"""The hooks of the site: what is generated, links that lead out of `docs/`, and formulas.

MkDocs imports this file (mkdocs.yml), and with it the modules beside it. Nothing here needs TensorFlow.
"""

import html
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import lessons  # noqa: E402
import reference  # noqa: E402

# Files outside of docs/ that are pages of the site, by their path in the repository.
ELSEWHERE = {
    "CONTRIBUTING.md": "design/index.md",
    "CHANGELOG.md": "design/changelog.md",
    "benchmarks/README.md": "benchmarks/index.md",
    "benchmarks/deployment.md": "benchmarks/deployment.md",
    "export/README.md": "use/kits.md",
    "export/web/README.md": "use/kit-web.md",
    "export/python/README.md": "use/kit-python.md",
    "export/serving/README.md": "use/kit-serving.md",
}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)


def zoo_names() -> list[str]:
    """The entries of the zoo."""
    return sorted(path.parent.name for path in ROOT.glob("zoo/*/README.md"))


def on_config(config: Any) -> Any:
    """Add the generated pages to the navigation."""
    for section in config.nav:
        if isinstance(section, dict) and "Reference" in section:
            section["Reference"] = list(reference.PAGES)
        elif isinstance(section, dict) and "Gallery" in section:
            section["Gallery"] += [f"gallery/{name}.md" for name in zoo_names()]
        elif isinstance(section, dict) and "Learn" in section:
            section["Learn"] += [f"learn/{path.stem}.md" for path in lessons.sources()]
        elif isinstance(section, dict) and "Use" in section:
            section["Use"] += [page for page in ELSEWHERE.values() if page.startswith("use/")]
        elif isinstance(section, dict) and "Project" in section:
            section["Project"].append("design/changelog.md")
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages, and the files that they show."""

    def add(path: str, content: str | bytes) -> None:
        files.append(File.generated(config, path, content=content))

    for source, page in ELSEWHERE.items():
        add(page, (ROOT / source).read_text(encoding="utf-8"))
        for picture in (ROOT / source).parent.glob("screenshot*.png"):
            target = posixpath.join(posixpath.dirname(page), f"{picture.parent.name}-{picture.name}")
            if not files.get_file_from_path(target):
                files.append(File.generated(config, target, abs_src_path=str(picture)))
    for name in zoo_names():
        folder = ROOT / "zoo" / name
        add(f"gallery/{name}.md", (folder / "README.md").read_text(encoding="utf-8"))
        for picture in folder.glob("*.png"):
            files.append(File.generated(config, f"gallery/{name}/{picture.name}", abs_src_path=str(picture)))
    for path, content in reference.pages().items():
        add(path, content)
    for path, content in lessons.pages().items():
        add(path, content)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to files of the repository into links to pages, or into names."""
    path = page.file.src_uri
    source = next((source for source, target in ELSEWHERE.items() if target == path), f"docs/{path}")
    if path.startswith("gallery/") and path != "gallery/index.md":
        source = f"zoo/{Path(path).stem}/README.md"
    markdown = re.sub(r"(?<=\d) ± (?=\d)", "\u00a0±\u00a0", markdown)
    return _LINK.sub(lambda match: _linked(match, source, path), markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Write formulas as MathML, which browsers show without a script."""

    def formula(match: re.Match[str]) -> str:
        written = convert(html.unescape(match[2]), display="block" if match[1] == "div" else "inline")
        return written.replace("<mi>log</mi>", '<mi>log</mi><mspace width="0.17em" />')

    return _FORMULA.sub(formula, content)


def _linked(match: re.Match[str], source: str, page: str) -> str:
    picture, text, target, anchor = match[1], match[2], match[3], match[4] or ""
    if "://" in target or target.startswith("mailto:"):
        return match[0]
    text = _LINK.sub(lambda inner: _linked(inner, source, page), text)
    place = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    found = _page_of(place)
    if found is None:
        return text if text.startswith(("!", "`")) else f"{text} (`{place}`)" if text != place else f"`{place}`"
    return f"{picture}[{text}]({posixpath.relpath(found, posixpath.dirname(page) or '.')}{anchor})"


def _page_of(place: str) -> str | None:
    """The path in the site of a file of the repository; None: it has no page."""
    if place.startswith("docs/"):
        return re.sub(r"^(learn/.*)\.py$", r"\1.md", place.removeprefix("docs/"))
    if place in ELSEWHERE:
        return ELSEWHERE[place]
    parts = place.split("/")
    if parts[0] == "keras_vae":
        name = "/".join(parts[1:])
        pages = {"": "index", "zoo/recipes.py": "recipe", **{package: package for package in reference.PACKAGES}}
        return f"reference/{pages[name]}.md" if name in pages else None
    if parts[0] == "zoo" and len(parts) > 1:
        return (
            f"gallery/{parts[1]}/{parts[2]}" if len(parts) > 2 and parts[2] != "README.md" else f"gallery/{parts[1]}.md"
        )
    if parts[0] == "export" and parts[-1].startswith("screenshot"):
        return f"use/{parts[-2]}-{parts[-1]}"
    return None
