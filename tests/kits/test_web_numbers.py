"""The page of export/web with tables, counts and series: what it reads of a bundle, and what it shows in a browser."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from keras_vae import export, runtimes, zoo
from keras_vae.models import VAE
from keras_vae.pages import demo, serving
from tests import browser
from tests.browser import served
from tests.export.bundles import stirred
from tests.kits.test_web import SELFTEST, with_bundle
from tests.runtimes.test_bundle import edited

SITE = Path(__file__).parents[2] / "export" / "web" / "site"
MLP = {"name": "mlp", "hidden": (8,)}
GRADES, COLOURS = ["low", "middle", "high"], ["red", "blue"]
KINDS = {"grade": {"ordinal": GRADES}, "size": "positive", "colour": {"categorical": COLOURS}, "shift": "real"}
SHOWN = "document.querySelector('main')?.hidden === false && document.querySelectorAll('#grid button').length === 16"


def toy(likelihood, size, folder, examples=None):
    model = stirred(VAE(x_shape=(size,), latent_dim=2, encoder=MLP, decoder=MLP, likelihood=likelihood))
    return model, export.export(model, folder, ("onnx",), examples)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    generator = np.random.default_rng(0)
    x = [generator.integers(0, 3, 20), np.exp(generator.normal(size=20)), generator.integers(0, 2, 20)]
    x = np.stack([*x, generator.normal(size=20) - 30], axis=-1).astype("float32")
    return toy({"name": "mixed", "columns": KINDS}, 4, tmp_path_factory.mktemp("mixed") / "out", x)


# --- what is computed, without a browser ---


def computed(expression, *values):
    """The value in node of an expression of numbers.js, in which `given` are some values."""
    script = f"""import * as numbers from {json.dumps((SITE / "numbers.js").as_uri())};
        const given = JSON.parse(process.argv[1]);
        console.log(JSON.stringify({expression}));"""
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script, json.dumps(values)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return json.loads(done.stdout)


def described(x, draws, shape, preprocessing, support, examples=True):
    """As much of the page's bundle as `factsOf` reads; None in x is missing."""
    held = {"encoder": {"inputs": {"x": {"data": x}}}, "decoder": {"outputs": {"mean": {"data": draws}}}}
    return {
        "manifest": {"preprocessing": preprocessing, "examples": {} if examples else None}, "golden": {"graphs": held},
        "graphs": {"encode": {"name": "encoder"}, "decode": {"name": "decoder", "result": "mean"}}, "x": "x",
        "image": shape, "pixels": int(np.prod(shape)), "support": support,
    }  # fmt: skip


node = pytest.mark.skipif(shutil.which("node") is None, reason="node.js is not installed")
FACTS = "numbers.factsOf(given[0])"


@node
def test_ranges_are_of_examples_and_draws_with_a_tenth_more():
    bundle = described(
        [-1, 4, 20, 3, None, -10], [0, 6, 10], [3], {"axes": ["columns"], "columns": list("abc")}, "reals"
    )
    parts = computed(FACTS, bundle)["parts"]
    spans = [(each["name"], round(each["low"], 6), round(each["high"], 6)) for each in parts]
    # of a: -1, 3, 0; of b: 4, 6, the null left out; of c: 20, -10, 10
    assert spans == [("a", -1.4, 3.4), ("b", 3.8, 6.2), ("c", -13.0, 23.0)]
    # Without examples golden.json holds invented inputs, which say nothing of the data.
    parts = computed(FACTS, bundle | {"manifest": {**bundle["manifest"], "examples": None}})["parts"]
    assert [(each["low"], each["high"]) for each in parts] == [(0, 1), (5, 7), (9, 11)]


@node
def test_a_column_has_the_classes_of_its_name_alone():
    names = ["constructor", "toString", "a"]
    bundle = described([1, 2, 0], [1, 2, 1], [3], {"axes": ["columns"], "columns": names}, "reals")
    assert [part["classes"] for part in computed(FACTS, bundle)["parts"]] == [None] * 3
    bundle["manifest"]["preprocessing"]["classes"] = {"a": COLOURS}
    facts = computed(FACTS, bundle)
    assert [part["name"] for part in facts["parts"]] == names
    assert [part["classes"] for part in facts["parts"]] == [None, None, COLOURS]
    # Of classes, the column is one of that name.
    kinds = ["categorical", "real", "real"]
    bundle["manifest"]["preprocessing"] |= {"kinds": kinds, "classes": {"constructor": GRADES}}
    facts = computed(FACTS, bundle)
    assert [part["classes"] for part in facts["parts"]] == [GRADES, None, None] and facts["probabilities"] == 3


@node
def test_bars_begin_at_0_or_at_the_end_nearest_to_it():
    span = "given.map(([part, value]) => numbers.spanOf(part, value))"
    ranges = [{"low": -1, "high": 3}, {"low": 2, "high": 6}, {"low": -6, "high": -2}]
    cases = [(ranges[0], 2), (ranges[0], -0.6), (ranges[1], 3), (ranges[1], 9), (ranges[2], -3), (ranges[2], "none")]
    expected = [[0.25, 0.75], [0.1, 0.25], [0, 0.25], [0, 1], [0.75, 1], [0, 0]]
    np.testing.assert_allclose(computed(span, *cases), expected, atol=1e-9)
    beyond = computed("given.map(([part, value]) => numbers.beyond(part, value))", *cases[:5])
    assert beyond == [False, False, False, True, False]


@node
def test_many_counts_share_a_scale_of_logarithms():
    x = [0, 9] * 25
    x[7] = 99
    facts = computed(FACTS, described(x, x, [50], {"axes": ["columns"]}, "counts, or missing"))
    assert facts["wide"] and facts["together"] and facts["about"] == "Rows of 50 counts"
    high = facts["parts"][0]["high"]
    assert {(each["low"], each["high"]) for each in facts["parts"]} == {(0, high)} and high == pytest.approx(99 * 1.1)
    spans = computed("given[1].map((value) => numbers.spanOf(given[0], value))", facts["parts"][3], [0, 1, 9, 99])
    np.testing.assert_allclose(spans, [[0, np.log1p(count) / np.log1p(high)] for count in (0, 1, 9, 99)], atol=1e-9)
    few = computed(FACTS, described(x[:20], x[:20], [20], {"axes": ["columns"]}, "counts"))
    assert not few["wide"] and few["parts"][0]["low"] == 0 and few["parts"][0]["high"] == 1


@node
def test_a_series_is_one_where_the_bundle_says_so():
    bundle = described(
        [1, 10, 2, 20, None, None], [0, 10, 3, 30, 3, 30], [3, 2], {"axes": ["steps", "channels"]}, "reals"
    )
    facts = computed(FACTS, bundle)
    assert (
        facts["series"] and facts["steps"] == 3 and facts["about"] == "Series of 3 steps, 2 channels, of real numbers"
    )
    assert [(each["name"], each["low"], each["high"]) for each in facts["parts"]] == [
        ("channel 1", 0, pytest.approx(3.3)), ("channel 2", 8, 32)
    ]  # fmt: skip
    bundle["manifest"]["preprocessing"] = {}
    facts = computed(FACTS, bundle)
    assert not facts["series"] and facts["about"] == "3×2 real numbers"
    assert [each["name"] for each in facts["parts"]][1::3] == ["number 1, 2", "number 3, 1"]


@node
def test_chances_are_those_of_the_decoder(mixed):
    model, bundle = mixed
    preprocessing = bundle.manifest["preprocessing"]
    z = np.array([[0.5, -1.0]], "float32")
    parameters = {name: np.asarray(value)[0].tolist() for name, value in model.likelihood_parameters(z).items()}
    x, draws = (
        np.ravel(bundle.golden()["encoder"]["inputs"]["x"]),
        np.ravel(bundle.golden()["decoder"]["outputs"]["mean"]),
    )
    held = described(x.tolist(), draws.tolist(), [4], preprocessing, bundle.graphs["encoder"]["inputs"]["x"]["support"])
    chances = "(({ parts, ...facts }) => parts.map((part) => numbers.chancesOf(facts, part, given[1])))"
    grade, size, colour, shift = computed(f"{chances}({FACTS})", held, parameters)
    log_p = np.array(parameters["log_probabilities"])  # the category's two, then the three ordered classes
    np.testing.assert_allclose(colour, np.exp(log_p[:2]), rtol=1e-6)
    np.testing.assert_allclose(grade, np.exp(log_p[2:]), rtol=1e-6)
    assert size is None and shift is None and sum(grade) == pytest.approx(1, abs=1e-5)
    words = "numbers.factsOf(given[0]).parts.map((part, place) => numbers.written(part, given[1][place]))"
    assert computed(words, held, [2, 1234.56, 0, -0.0123456]) == ["high", "1235", "red", "-0.01235"]
    # An older bundle, which does not say the kinds: names without probabilities.
    older = {key: value for key, value in preprocessing.items() if key not in ("axes", "kinds")}
    held["manifest"]["preprocessing"] = older
    assert computed(f"{chances}({FACTS})", held, parameters) == [None] * 4
    assert computed(words, held, [2, 1, 0, 1])[::2] == ["high", "red"]


def test_a_bundle_of_numbers_has_a_page(mixed, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # without npm
    fresh = shutil.copytree(SITE, tmp_path / "kit" / "site")
    monkeypatch.setattr(demo, "kit", lambda: fresh)
    site = demo.build(mixed[1].path, tmp_path / "site")
    assert site.runtime == "cdn" and export.read_bundle(site.folder / "bundle").digest == mixed[1].digest


# --- in the browser ---


def texts(page, selector):
    return page.run(f"Array.from(document.querySelectorAll({json.dumps(selector)})).map((each) => each.textContent)")


def comes(page, read, expected, seconds=60):
    """It comes to be so, within the page's rounding."""
    deadline = time.monotonic() + seconds
    while not expected(found := read(page)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def near(numbers, relative=6e-4):
    """Written with four digits, or whole from 1000 on."""
    return lambda found: len(found) == len(numbers) and np.allclose(found, numbers, rtol=relative, atol=1e-5)


def values(page):
    return [float(text) for text in texts(page, "#numbers td.value")]


def choose(page, value):
    page.run(
        f"(() => {{ const select = document.querySelector('#start'); select.value = '{value}'; "
        "select.dispatchEvent(new Event('change')) })()"
    )


def checked(page):
    """No error, no panel without anything in it, no control without a name, nothing wider than a phone."""
    empty = (
        "Array.from(document.querySelectorAll('main section')).filter((each) => each.checkVisibility() && "
        "!each.querySelector('svg, table, output, #sliders')).map((each) => each.id)"
    )
    assert page.run(empty) == []
    for hidden in ("#picture", "#word", "#pad", "#typed"):
        assert page.run(f"document.querySelector('{hidden}').checkVisibility()") is False
    nodes = page.nodes()
    assert [node for node in nodes if not node[1] and (node[2] or node[0] in ("image", "slider", "radio"))] == []
    for width in (390, 320):
        page.size(width, 844, phone=True)
        assert page.run("document.documentElement.scrollWidth") <= width
    page.size(390, 844, phone=True)
    # The numbers stay in sight while the last slider is moved.
    page.run("Array.from(document.querySelectorAll('#sliders > .slider')).at(-1).scrollIntoView({ block: 'end' })")
    assert page.run("document.querySelector('#numbers').getBoundingClientRect().top") >= 0
    page.size(1280, 900)
    assert page.errors == []
    return nodes


@pytest.fixture
def opened(site, tmp_path):
    """Opens a bundle in the page, by its folder, once it computes what Keras did."""

    def go(page, url):
        page.size(1280, 900)
        page.open(url + "?selftest")
        assert json.loads(page.wait(SELFTEST))["passed"]
        page.wait(SHOWN)

    def build(folder):
        return with_bundle(site, folder, tmp_path / "site"), go

    return build


@pytest.mark.slow
def test_a_row_of_a_table_in_the_units_of_the_data(opened, tmp_path):
    bundle = export.export(zoo.load("vae_breast_cancer"), tmp_path / "bundle", ("onnx",))
    x, runtime = bundle.golden()["encoder"]["inputs"]["x"], runtimes.open(bundle, "onnxruntime")
    folder, go = opened(bundle.path)
    with served(serving.server(folder, 0)) as url, browser.page() as page:
        go(page, url)
        assert texts(page, "#numbers th") == bundle.manifest["preprocessing"]["columns"]
        comes(page, values, near(runtime.decode(runtime.encode(x[:1]))[0]))
        radius = runtime.decode(runtime.encode(x[:1]))[0, 0]
        assert abs(radius - x[0, 0]) < 3 and radius > 6  # millimetres, not deviations
        # Another example, by the keyboard; then the prior's mean, and a slider from there.
        page.run("document.querySelector('#start').focus()")
        page.press("ArrowDown", 2)
        comes(page, values, near(runtime.decode(runtime.encode(x[2:3]))[0]))
        marks = "document.querySelectorAll('#numbers .mark:not([hidden])').length"
        assert page.run(marks) == 30
        choose(page, "rest")
        comes(page, values, near(runtime.decode(np.zeros((1, 4), "float32"))[0]))
        assert page.run(marks) == 0
        page.run("document.querySelector('#sliders input').focus()")
        page.press("ArrowRight", 10)
        kl = np.array(bundle.manifest["latent"]["codes"]["z"]["kl"])
        z = np.zeros((1, 4), "float32")
        z[0, kl.argmax()] = float(page.run("document.querySelector('#sliders input').value"))
        assert 0.4 < z.max() < 0.6
        comes(page, values, near(runtime.decode(z)[0]))
        # A sample goes onto the sliders, and is no example.
        page.run("document.querySelector('#grid button').click()")
        assert page.run("document.querySelector('#start').value") == ""
        order = [int(name[1]) for name in texts(page, "#sliders .slider > span")]
        z[0, order] = [float(text) for text in texts(page, "#sliders output")]
        comes(page, values, near(runtime.decode(z)[0], 0.02))  # the sliders say two digits
        nodes = checked(page)
        assert ("slider", "dimension z1", True) in nodes and ("radio", "example 1, of class 0", True) in nodes
        assert ("rowheader", "mean radius", False) in nodes and ("combobox", "Start from", True) in nodes


@pytest.mark.slow
def test_counts_as_bars_that_are_read_by_keyboard(opened, tmp_path):
    bundle = export.export(zoo.load("vae_cells"), tmp_path / "bundle", ("onnx",))
    x, runtime = bundle.golden()["encoder"]["inputs"]["x"], runtimes.open(bundle, "onnxruntime")
    mean = runtime.decode(runtime.encode(x[:1]))[0]
    high = 1.1 * max(x.max(), bundle.golden()["decoder"]["outputs"]["mean"].max())
    heights = (
        "Array.from(document.querySelector('#numbers path.bar').getAttribute('d').matchAll("
        "/V([\\d.e-]+)H/g)).map(([, top]) => 1 - Number(top))"
    )
    folder, go = opened(bundle.path)
    with served(serving.server(folder, 0)) as url, browser.page() as page:
        go(page, url)
        comes(page, lambda page: page.run(heights), near(np.log1p(mean) / np.log1p(high), 2e-3))
        page.run("document.querySelector('[aria-label=\"Column to read\"]').focus()")
        page.press("ArrowRight", 4)
        assert texts(page, ".reader output") == [f"column 5 {mean[4]:.4g} (the example: {x[0, 4]:.0f})"]
        page.run("document.querySelector('#random').click()")
        page.wait("!document.querySelector('.reader output').textContent.includes('example')")
        nodes = checked(page)
        assert ("slider", "Column to read", True) in nodes and (
            "image",
            "The decoder's numbers, a bar each",
            False,
        ) in nodes


@pytest.mark.slow
def test_a_series_as_a_line_for_each_channel(opened, tmp_path):
    bundle = export.export(zoo.load("vae_waves"), tmp_path / "bundle", ("onnx",))
    x, runtime = bundle.golden()["encoder"]["inputs"]["x"], runtimes.open(bundle, "onnxruntime")
    draws, mean = bundle.golden()["decoder"]["outputs"]["mean"], runtime.decode(runtime.encode(x[:1]))[0]
    paths = (
        "Array.from(document.querySelectorAll('#numbers path.line:not(.original)'))"
        ".map((each) => each.getAttribute('d'))"
    )

    def shares(page):
        points = [path[1:].replace("h0", "").split("L") for path in page.run(paths)]
        return [1 - float(point.split()[1]) for path in points for point in path]

    low, high = (end(np.concatenate([x, draws]), axis=(0, 1)) for end in (np.nanmin, np.nanmax))
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    low = np.where(np.nanmin(np.concatenate([x, draws]), axis=(0, 1)) >= 0, np.maximum(low, 0), low)
    folder, go = opened(bundle.path)
    with served(serving.server(folder, 0)) as url, browser.page() as page:
        go(page, url)
        comes(page, shares, near(np.ravel(((mean - low) / (high - low)).T), 2e-3))
        # The example is dashed up to its end.
        ends = int((~np.isnan(x[0, :, 0])).sum())
        dashed = page.run("document.querySelector('#numbers path.original').getAttribute('d')")
        assert ends < 48 and dashed.count("L") == ends - 1
        page.run("document.querySelector('[aria-label=\"Step to read\"]').focus()")
        page.press("ArrowRight", ends)
        (said,) = texts(page, ".reader output")
        assert said.startswith(f"step {ends + 1}: channel 1 {mean[ends, 0]:.4g} (the example: missing), channel 2")
        # From one to another, in nine small pictures of two lines.
        assert page.run("document.querySelectorAll('#between svg').length") == 9
        assert page.run("document.querySelectorAll('#between svg path').length") == 18
        assert ("image", "The decoder's channel 2, a line over 48 steps", False) in checked(page)


@pytest.mark.slow
def test_classes_by_name_with_their_probabilities(opened, mixed):
    model, bundle = mixed
    x = bundle.golden()["encoder"]["inputs"]["x"]
    z = model.encode(x[:1])
    log_p = np.asarray(model.likelihood_parameters(z)["log_probabilities"])[0]
    colour, grade = np.exp(log_p[:2]), np.exp(log_p[2:])
    folder, go = opened(bundle.path)
    with served(serving.server(folder, 0)) as url, browser.page() as page:
        go(page, url)
        row = model.decode(z)[0]
        likeliest = zip((GRADES[int(row[0])], COLOURS[int(row[2])]), (grade.max(), colour.max()), strict=True)
        expected = [f"{name}, {100 * p:.0f} %" for name, p in likeliest]
        comes(page, lambda page: texts(page, "#numbers td.value")[::2], lambda found: found == expected)
        said = ", ".join(f"{name} {100 * p:.0f} %" for name, p in zip(GRADES, grade, strict=True))
        assert ("image", said, False) in checked(page)


@pytest.mark.slow
def test_without_examples_it_starts_from_the_priors_mean(opened, tmp_path):
    """And nothing is offered that would need some; a bundle that does not name its axes is shown too."""
    model, bundle = toy("normal", 3, tmp_path / "bundle")
    preprocessing = {key: value for key, value in bundle.manifest["preprocessing"].items() if key != "axes"}
    edited(bundle.path, reseal=True, preprocessing=preprocessing)
    folder, go = opened(bundle.path)
    with served(serving.server(folder, 0)) as url, browser.page() as page:
        go(page, url)
        comes(page, values, near(model.decode(np.zeros((1, 2), "float32"))[0]))
        assert texts(page, "#start option:not([hidden])") == ["the prior's mean"]
        assert page.run("document.querySelector('#interpolate').checkVisibility()") is False
        assert texts(page, "#numbers th") == ["column 1", "column 2", "column 3"]
        checked(page)
