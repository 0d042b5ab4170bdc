"""The lessons: run as notebooks, kept in `runs/lessons`, and rendered as pages.

`python docs/program/lessons.py` runs those that changed since they last ran, and prints what each cost. `--all` runs
all of them; `--record` too, and writes the costs to benchmarks/lessons.json.
"""

import base64
import hashlib
import json
import os
import re
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "runs" / "lessons"
LIMIT = 300_000  # bytes of pictures on a page
COSTS = ROOT / "benchmarks" / "lessons.json"


def sources() -> list[Path]:
    """The lessons in their order, Python files in jupytext's percent format."""
    return sorted((ROOT / "docs" / "learn").glob("[0-9]*.py"))


def kept(source: Path) -> Path:
    """Where the notebook of a lesson is kept, as it ran with the source that it has now."""
    return CACHE / f"{source.stem}-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}.ipynb"


def run(source: Path) -> dict[str, float]:
    """Run a lesson, keep its notebook, and return the seconds that it took, and those of processors: user and system.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell failed: an assertion, as a rule.
    """
    import jupytext
    import nbformat
    from nbclient import NotebookClient

    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    kernel = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}  # which shows figures
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT)}}).execute(env=kernel)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)  # the kernel has ended
    cost = {
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
    }
    notebook.metadata.update(cost)
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.glob(f"{source.stem}-*.ipynb"):
        old.unlink()
    nbformat.write(notebook, kept(source))
    return cost


def costs(lessons: Mapping[str, Mapping[str, float]]) -> str:
    """A table of the seconds of processors that each lesson takes."""
    rows = [["lesson", *(name.split("-")[0] for name in lessons)], ["---", *("---:" for _ in lessons)]]
    rows.append(["CPU seconds", *(f"{cost['cpu_seconds']:.0f}" for cost in lessons.values())])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def pages() -> dict[str, str | bytes]:
    """Each lesson as a page with its pictures, by path; without outputs where it did not run."""
    written: dict[str, str | bytes] = {}
    for source in sources():
        text, pictures = rendered(source)
        written[f"learn/{source.stem}.md"] = text
        written |= {f"learn/{name}": data for name, data in pictures.items()}
        written[f"learn/{source.stem}.ipynb"] = _notebook_text(source)
    return written


def rendered(source: Path) -> tuple[str, dict[str, bytes]]:
    """A lesson as Markdown, and its pictures by name."""
    import jupytext
    import nbformat

    ran = kept(source).is_file()
    notebook: Any = nbformat.read(kept(source), as_version=4) if ran else jupytext.read(source)
    pictures: dict[str, bytes] = {}
    parts, heading = [], ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = [heading, *re.findall(r"^#+ (.+)$", cell.source, re.M)][-1]
            # A notebook reads Markdown within the tag; Python-Markdown only where it says so.
            parts.append(cell.source.replace("<details>", '<details markdown="1">'))
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.get("outputs", []):
            parts += _output(output, f"{source.stem}-{len(pictures)}.png", heading, pictures)
    if not ran:
        title, _, rest = parts[0].partition("\n")
        note = "!!! note\n    This build has no outputs of this lesson: run the notebook to see them."
        parts[:1] = [title, note, rest]
    size = sum(map(len, pictures.values()))
    if size > LIMIT:
        raise ValueError(f"A page has at most {LIMIT} bytes of pictures. {source.name} has {size}.")
    end = f"Run it yourself: [{source.stem}.ipynb]({source.stem}.ipynb)."
    cost = notebook.metadata.get("cpu_seconds")
    end += f" It took {cost:.0f} CPU seconds here." if cost else ""
    return "\n\n".join([*parts, "---", end, ""]), pictures


def _output(output: Any, name: str, heading: str, pictures: dict[str, bytes]) -> list[str]:
    """An output as Markdown: a picture, or text that Python printed. Progress on stderr is left out."""
    data = output.get("data", {})
    if "image/png" in data:
        pictures[name] = base64.b64decode(data["image/png"])
        return [f"![{heading}: plot of the code above]({name})"]
    if output.output_type == "stream" and output.name == "stderr":
        return []
    text = output.get("text") or data.get("text/plain") or ""
    text = re.sub(r"\x1b\[[\d;]*[a-zA-Z]|[\x08]|^WARNING:tensorflow.*$", "", text, flags=re.M).strip("\n")
    return [f"```text {{.output}}\n{text}\n```"] if text else []


def _notebook_text(source: Path) -> str:
    import jupytext

    return jupytext.writes(jupytext.read(source), fmt="ipynb")


if __name__ == "__main__":
    lessons = {}
    for path in sources():
        if {"--all", "--record"} & set(sys.argv) or not kept(path).is_file():
            lessons[path.stem] = run(path)
            print(path.stem, lessons[path.stem], flush=True)
    if "--record" in sys.argv:
        from keras_vae.benchmarking import machine

        COSTS.write_text(json.dumps({"machine": machine.describe(), "lessons": lessons}, indent=2) + "\n")
