"""The documentation: its Python runs, its tables are whole, its lessons prove what they teach, and the site builds."""

import ast
import functools
import http.server
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import browser
from tests.benchmarking.programs import program as of_benchmarks

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
WITH_PYTHON = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]
NEEDS_MKDOCS = pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="the extra docs is not installed")


def name_of(path):
    return str(path.relative_to(DOCS))


def python_of(page):
    """The Python of a page, in its order."""
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S))


def program(name):
    """A module of docs/program."""
    sys.path.insert(0, str(DOCS / "program"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_python_is_python_and_imports_what_there_is(page):
    for node in ast.walk(ast.parse(python_of(page))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_vae"):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in WITH_PYTHON if page.name != "bundle.md"], ids=name_of)
def test_python_runs(page, tmp_path):
    code = python_of(page)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_python_that_reads_a_bundle_runs_where_one_is(tmp_path):
    from keras_vae import export
    from tests.toys import toy

    export.export(toy(), tmp_path / "out", formats=("onnx",))
    code = python_of(DOCS / "reference/bundle.md") + "\nassert image.shape == (1, 4, 4, 1)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_tables_are_what_the_programs_wrote():
    """`python benchmarks/docs_tables.py` would change nothing."""
    code = "import docs_tables, sys; sys.exit(any(p.read_text('utf-8') != t for p, t in docs_tables.filled().items()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "benchmarks", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:] or "run: python benchmarks/docs_tables.py"


def test_no_row_of_a_page_has_more_cells_than_its_head():
    """A bare `|` in a cell ends it, and what follows the last column is not shown."""
    for page in [*PAGES, *ROOT.glob("zoo/*/README.md")]:
        columns = 0
        for line in re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S).splitlines():
            if not line.startswith("|"):
                columns = 0
                continue
            cells = len(re.findall(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", line)))
            columns = columns or cells
            assert cells == columns, f"{page.relative_to(ROOT)}: {line}"


def test_links_lead_somewhere_in_a_checkout():
    """To files, whatever the site makes of them; but for the schema, which is written with the site."""
    pages = [
        *PAGES,
        *DOCS.glob("learn/*.py"),
        *ROOT.glob("*.md"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("*/*/README.md"),
    ]
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", page.read_text(encoding="utf-8")):
            written = target == "bundle.schema.json"
            assert "://" in target or written or (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


def test_the_glossary_has_every_name_that_is_logged():
    from keras_vae.models import MODELS

    glossary = (DOCS / "use/measure.md").read_text(encoding="utf-8")
    names = {"loss", "elbo", "log_px", "kl", "beta", "critic_loss"}
    names |= {name for model in MODELS.values() for name in model.metric_names}
    assert not [name for name in sorted(names) if f"`{name}`" not in glossary]


def test_the_glossary_has_the_loss_of_a_critic_that_cannot_tell():
    """At the best constant logit: log of real pictures to generated ones."""
    from keras import ops

    from keras_vae.core import Terms
    from keras_vae.models import AAE, FactorVAE, vae_gan

    glossary = (DOCS / "use/measure.md").read_text(encoding="utf-8")

    def losses(logit):
        logits, terms = ops.full((6,), logit), functools.partial(Terms, 0.0, 0.0)
        factor = terms(cache={"joint": logits, "permuted": logits})
        adversarial = terms(cache={"prior_samples": logits, "codes": logits})
        yield "FactorVAE", float(FactorVAE._critic_loss(None, factor))
        yield "AAE", float(AAE._critic_loss(None, adversarial))
        yield "VAEGAN", float(vae_gan._critic_loss(logits))

    best = {}
    for logit in np.log([0.4, 0.5, 0.6, 0.9, 1.0, 1.1]):
        best |= {name: min(loss, best.get(name, loss)) for name, loss in losses(logit)}
    for name, loss in best.items():
        assert re.search(rf"= {loss:.2f} in {name}", glossary), f"{name}: {loss:.2f}"


def test_what_a_page_says_of_the_zoo_is_so():
    """The three claims below the table of docs/use/which-model.md."""
    tables = of_benchmarks("decisions")

    def log_prob(name):
        return tables.results_of(name)["metrics"]["log_prob"]["value"]

    def distance(name):
        return tables.overview(name, "generation.mnist_fd.mnist_fd")["value"]

    def error(name):
        return tables.results_of(name)["metrics"]["squared_error"]["value"]

    def epochs(name):
        return tables.results_of(name)["training"]["epochs"]

    assert log_prob("gated_vae_mnist") > log_prob("vae_mnist") + 1 and error("gated_vae_mnist") < error("vae_mnist")
    assert epochs("gated_vae_mnist") == epochs("vae_mnist")
    assert distance("gated_vae_mnist") > 0.9 * distance("vae_mnist")
    assert log_prob("vamp_vae_mnist") > log_prob("gated_vae_mnist") + 1
    assert distance("vamp_vae_mnist") < distance("gated_vae_mnist") / 2
    for name in ("beta_vae_mnist", "factor_vae_mnist", "beta_tc_vae_mnist"):
        assert log_prob(name) < log_prob("vae_mnist") - 1 and epochs(name) < epochs("vae_mnist")


def test_errors_that_are_explained_are_raised():
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "keras_vae").rglob("*.py"))
    symptoms = re.findall(
        r"^\| `(?:\w+Error: )?([A-Za-z][^`]* [^`]*)` \|", (DOCS / "use/trouble.md").read_text("utf-8"), re.M
    )
    assert len(symptoms) >= 4
    assert not [words for words in symptoms if not all(part in source for part in words.split(" of x "))]


def test_every_question_has_a_page():
    rows = re.findall(r"^\| (\d+) \| .* \| (.*) \|$", (DOCS / "questions.md").read_text(encoding="utf-8"), re.M)
    assert [int(number) for number, _ in rows] == list(range(1, 42))
    assert not [number for number, page in rows if "](" not in page]


def prose_of(docstring):
    """A docstring without code, and without the names of starred arguments."""
    return re.sub(r"`[^`]*`|^ *\*\*\w+:", "", docstring, flags=re.M)


def test_formulas_of_docstrings_are_code():
    """Bare, `p**x (1 - p)**y` is bold in Markdown, and loses its stars."""
    assert "**" in prose_of("N(0, s**2)") and "**" not in prose_of("`N(0, s**2)`\n    **kwargs: as `VAE`.")
    bare = []
    for path in sorted((ROOT / "keras_vae").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            if documented and "**" in prose_of(ast.get_docstring(node) or ""):
                bare.append(f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}")
    assert not bare


def test_the_reference_has_the_bases_whose_arguments_it_names():
    reference = program("reference")
    paths = {name: [*reference.public_names(name), *reference.BASES.get(name, [])] for name in reference.PACKAGES}
    headings = {path.rpartition(".")[2] for of_package in paths.values() for path in of_package}
    for path in [path for of_package in paths.values() for path in of_package]:
        module, _, name = path.rpartition(".")
        text = getattr(importlib.import_module(module), name).__doc__ or ""
        missing = set(re.findall(r"\bas `([A-Z]\w+)`", text)) - headings
        assert not missing, f"{path}: {missing}"


def test_the_reference_of_a_model_has_the_methods_that_pages_call():
    reference = program("reference")
    names = f"{reference.INHERITED}, {reference.OWN}".split(", ")
    from keras_vae.models import VAE

    assert all(callable(getattr(VAE, name)) for name in names)
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    called = {name for name in re.findall(r"\bmodel\.(\w+)\(", text) if hasattr(VAE, name)}
    assert called - {"save"} <= set(names), "save is Keras's own"


def test_the_schema_of_a_bundle_is_of_the_types_that_read_it():
    jsonschema = pytest.importorskip("jsonschema")
    schema = program("reference").bundle_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    manifests = sorted((ROOT / "tests/fixtures").rglob("bundle.json"))
    for path in manifests:
        jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": "keras_vae.bundle/1"}, schema)


def test_recipe_keys_are_those_of_the_code():
    from keras_vae.zoo import recipes

    text = program("reference").pages()["reference/recipe.md"]
    for section in (recipes.DataSection, recipes.TrainingSection, recipes.EvaluationSection, recipes.PublishedSection):
        assert all(f"| `{name}` |" in text for name in section.__dataclass_fields__ if name != "arguments")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site, of a build that stops at a broken link."""
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_the_site_needs_no_other_machine_and_can_be_searched(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r'<(?:script|img|iframe)[^>]*\bsrc="(https?:[^"]+)"', text)
        fetched += re.findall(r'<link[^>]*rel="(?:stylesheet|icon|preload)"[^>]*href="(https?:[^"]+)"', text)
        assert not fetched, f"{page.name} asks other machines"
        pictures = {page.parent / source for source in re.findall(r'<img[^>]*\bsrc="([^":]+)"', text)}
        assert sum(picture.stat().st_size for picture in pictures) <= 300_000, f"{page.name} has heavy pictures"
    index = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))
    assert any("posterior collapse" in entry["text"].lower() for entry in index["docs"])


@pytest.mark.slow
def test_pages_fit_a_phone_and_search_answers(site):
    browser.require(browser.chromium(), "Chromium")
    handler = functools.partial(QuietHandler, directory=str(site))
    with browser.served(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as address, browser.page() as tab:
        tab.size(390, 844, phone=True)
        for path in sorted(site.rglob("*.html")):
            tab.open(f"{address}{path.relative_to(site)}")
            tab.wait("document.readyState == 'complete'", 30)
            wide = tab.run("document.scrollingElement.scrollWidth")
            assert wide <= 390, f"{path.relative_to(site)} is {wide} pixels wide"
        tab.size(1280, 900)
        tab.open(f"{address}index.html?q=collapse")
        tab.wait("document.querySelectorAll('.md-search-result__item').length > 3", 30)
        assert not tab.errors
        assert not [url for url in tab.requests if not url.startswith((address, "data:", "blob:", "about:"))]


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and prints nothing."""

    def log_message(self, format, *args):
        pass


@NEEDS_MKDOCS
@pytest.mark.slow
@pytest.mark.parametrize("source", sorted(DOCS.glob("learn/[0-9]*.py")), ids=lambda path: path.stem)
def test_a_lesson_proves_what_it_teaches(source, record_property):
    """Its last cell asserts the number; the notebook is kept for the site."""
    lessons = program("lessons")
    for name, value in lessons.run(source).items():
        record_property(name, value)
    _, pictures = lessons.rendered(source)
    assert pictures, "a picture that teaches"


def test_a_lesson_without_its_run_says_so_at_its_top(monkeypatch, tmp_path):
    """With one, pictures have an alternative text; answers are read as Markdown either way."""
    import nbformat

    lessons, source = program("lessons"), DOCS / "learn/3-gradients.py"
    monkeypatch.setattr(lessons, "CACHE", tmp_path)
    text, _ = lessons.rendered(source)
    assert re.match(r"# 3\. .+\n\n!!! note\n    This build has no outputs", text)
    assert '<details markdown="1">' in text and "<details>" not in text
    plot = nbformat.v4.new_output("display_data", {"image/png": "iVBORw0KGgo="})
    cells = [nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_code_cell("plot()", outputs=[plot])]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"cpu_seconds": 12.3})
    nbformat.write(notebook, lessons.kept(source))
    text, pictures = lessons.rendered(source)
    assert "!!! note" not in text and "It took 12 CPU seconds here." in text
    assert "![Title: plot of the code above](3-gradients-0.png)" in text and len(pictures) == 1


def test_lessons_take_under_two_minutes():
    costs = json.loads((ROOT / "benchmarks/lessons.json").read_text(encoding="utf-8"))["lessons"]
    assert list(costs) == [path.stem for path in sorted(DOCS.glob("learn/[0-9]*.py"))]
    assert max(cost["cpu_seconds"] for cost in costs.values()) < 120, "if no step used more than one core"


@pytest.mark.parametrize("source", sorted(DOCS.glob("learn/[0-9]*.py")), ids=lambda path: path.stem)
def test_a_lesson_has_exercises_and_ends_with_an_assertion(source):
    text = source.read_text(encoding="utf-8")
    assert "## Exercises" in text and "<details>" in text
    assert isinstance(ast.parse(text).body[-1], ast.Assert)
