"""export/web and `keras-vae demo`: the folder they make, and the page in a real browser."""

import contextlib
import dataclasses
import functools
import http.server
import json
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from keras_vae import cli, data, export, runtimes, zoo
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.models import CVAE, VQVAE, HierarchicalVAE
from keras_vae.pages import demo, serving
from keras_vae.priors import AutoregressivePrior
from tests import browser
from tests.browser import served
from tests.export.bundles import DENSE, bundle_of, copied, digits, model_of, stirred
from tests.processes import interruptible
from tests.runtimes.test_bundle import edited

KIT = Path(__file__).parents[2] / "export" / "web"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in (KIT / "site").iterdir() if path.is_file()}
PINNED = json.loads(TEXTS["runtime.json"])


@pytest.fixture
def no_npm(monkeypatch, tmp_path):
    """A kit without an installed runtime, on a machine without npm."""
    monkeypatch.setenv("PATH", str(tmp_path))
    fresh = shutil.copytree(KIT / "site", tmp_path / "kit" / "site")
    monkeypatch.setattr(demo, "kit", lambda: fresh)


# --- what the page is made of ---


def test_every_file_that_the_page_names_is_there():
    named = set(re.findall(r'(?:src|href)="([\w.]+)"', TEXTS["index.html"]))
    for text in TEXTS.values():
        named |= set(re.findall(r'from "\./([\w.]+)"', text))
    assert named and named < set(TEXTS)
    # and every element that a script asks for by its id is in the page
    ids = set(re.findall(r'\bid="([\w-]+)"', TEXTS["index.html"]))
    asked = {each for text in TEXTS.values() for each in re.findall(r'"#([a-z-]+)"', text)}
    assert asked and asked <= ids


def test_no_address_but_that_of_the_pinned_runtime():
    addresses = {(name, each) for name, text in TEXTS.items() for each in re.findall(r"https?://[^\s\"';]+", text)}
    cdn = f"https://cdn.jsdelivr.net/npm/{PINNED['package']}@{PINNED['version']}/dist/"
    namespace = ("charts.js", "http://www.w3.org/2000/svg")  # the name of SVG, which nobody fetches
    assert addresses == {("runtime.json", cdn), ("index.html", "https://cdn.jsdelivr.net"), namespace}
    assert PINNED["cdn"] == cdn
    assert set(PINNED["integrity"]) == {PINNED["script"], PINNED["wasm"]}
    assert all(re.fullmatch(r"sha384-[\w+/]{64}", each) for each in PINNED["integrity"].values())


def test_one_version_of_the_runtime():
    package = json.loads((KIT / "package.json").read_text())
    lock = json.loads((KIT / "package-lock.json").read_text())["packages"]
    assert package["dependencies"] == {PINNED["package"]: PINNED["version"]}
    assert lock[f"node_modules/{PINNED['package']}"]["version"] == PINNED["version"]


@pytest.mark.skipif(shutil.which("node") is None, reason="node.js is not installed")
def test_a_missing_number_is_not_0_in_the_page(tmp_path):
    module = tmp_path / "bundle.mjs"
    module.write_text(TEXTS["bundle.js"], encoding="utf-8")
    text = json.dumps({"graphs": {"encoder": {"inputs": {"x": {"data": [0, None, 1.5]}}}}, "labels": None})
    script = f"""import {{ parsedGolden }} from {json.dumps(module.as_uri())};
        const golden = parsedGolden({json.dumps(text)});
        console.log(golden.labels, Float32Array.from(golden.graphs.encoder.inputs.x.data, Number).join());"""
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "null 0,NaN,1.5\n"


@pytest.mark.slow
def test_what_the_page_reads_of_a_bundle_is_there():
    manifest = bundle_of("mlp").manifest
    golden = json.loads(bundle_of("mlp").read("golden.json"))
    scripts = "\n".join(text for name, text in TEXTS.items() if name.endswith(".js"))
    known = {"manifest": manifest, "model": manifest["model"], "golden": golden, "latent": manifest["latent"]}
    for what, parts in known.items():
        read = set(re.findall(rf"\b{what}\.(?!json\b)(\w+)", scripts))
        assert read and read <= set(parts), what
    assert re.search(r'SCHEMA = "(.*)"', TEXTS["bundle.js"])[1] == manifest["schema"]


def test_the_picture_of_the_page_is_there_and_small():
    """`python -m tests.kits.screenshot` makes it."""
    picture = KIT / "screenshot.png"
    assert 10_000 < picture.stat().st_size < 150_000
    for readme, name in ((KIT / "README.md", picture.name), (KIT.parent / "README.md", f"web/{picture.name}")):
        assert f"]({name})" in readme.read_text(encoding="utf-8")


# --- the folder ---


def test_the_folder_without_npm_says_that_it_needs_the_network(no_npm, tmp_path):
    site = demo.build(bundle_of("colour").path, tmp_path / "site")
    assert site.runtime == "cdn" and "npm is not installed" in site.note and "cdn.jsdelivr.net" in site.note
    assert {path.name for path in site.folder.iterdir()} == {*TEXTS, "bundle", "demo.json"}
    export.read_bundle(site.folder / "bundle").verify()


def test_a_runtime_of_another_hash_is_not_used(no_npm, tmp_path):
    site = demo.build(bundle_of("colour").path, tmp_path / "site")
    (site.folder / "runtime").mkdir()
    for name in PINNED["integrity"]:
        (site.folder / "runtime" / name).write_text("forged")
    assert demo.build(bundle_of("colour").path, site.folder).runtime == "cdn"
    assert not (site.folder / "runtime").exists()


def test_what_cannot_be_shown_is_refused_and_leaves_nothing(no_npm, tmp_path):
    with pytest.raises(UserError, match="Did you mean 'beta_vae_mnist'"):
        demo.build("beta_vae_mnits", tmp_path / "site")
    graphs = json.loads(json.dumps(bundle_of("colour").graphs))
    graphs["encoder"]["inputs"]["x"]["kind"] = "vector"
    edited(folder := copied("colour", tmp_path / "sound"), reseal=True, graphs=graphs)
    with pytest.raises(
        UserError, match=r"shows images, sequences of tokens and numbers\. Given: .*colour, whose x are vector"
    ):
        demo.build(folder, tmp_path / "site")
    (folder := copied("mlp", tmp_path / "damaged")).joinpath("decoder.onnx").write_bytes(b"")
    with pytest.raises(CorruptFileError, match=r"decoder\.onnx is not the file"):
        demo.build(folder, tmp_path / "site")
    folder = copied("colour", tmp_path / "other")
    edited(folder, reseal=True, formats={})
    with pytest.raises(UserError, match=r"opens ONNX files.*--format onnx"):
        demo.build(folder, tmp_path / "site")
    assert not (tmp_path / "site").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine")
    with pytest.raises(UserError, match="other contents"):
        demo.build(bundle_of("colour").path, tmp_path / "mine")
    assert (tmp_path / "mine" / "index.html").read_text() == "mine"


def test_only_listed_files_are_copied_and_links_are_not_followed(no_npm, tmp_path):
    (tmp_path / "secret").write_text("of this machine")
    for name in ("private", "notes.txt"):
        folder = copied("colour", tmp_path / name)
        if name == "private":
            (folder / name).symlink_to(tmp_path / "secret")
        else:
            (folder / name).write_text("beside the bundle")
        with pytest.raises(
            CorruptFileError, match=rf"(no symbolic links|is no file of this bundle).*{name}|{name} is no"
        ):
            demo.build(folder, tmp_path / "site")
        assert not (tmp_path / "site").exists()
    site = demo.build(bundle_of("colour").path, tmp_path / "site")
    held = {path.relative_to(site.folder / "bundle").as_posix() for path in (site.folder / "bundle").rglob("*")}
    assert held == {"bundle.json", *bundle_of("colour").manifest["files"]}
    described = json.loads((site.folder / "demo.json").read_text())
    assert set(described["files"]) == {*TEXTS, *(f"bundle/{name}" for name in held)}


def test_a_taken_port_is_said_before_anything_is_done(tmp_path, capsys):
    with serving.server(tmp_path, 0) as taken, pytest.raises(SystemExit) as left:
        cli.main(["demo", "beta_vae_mnist", "--port", str(taken.server_port), "--no-browser"])
    assert left.value.code == 1
    assert re.match(r"Error: The page needs a free port.*--port 0", capsys.readouterr().err)


def test_the_command_serves_until_it_is_interrupted(tmp_path):
    words = [sys.executable, "-c", "from keras_vae.cli import main; main()", "demo", str(bundle_of("colour").path)]
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(KIT.parents[1]), "HOME": str(tmp_path)}
    with interruptible():
        process = subprocess.Popen(
            [*words, "--port", "0", "--no-browser", "--json"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
    try:
        text = ""
        while not text.endswith("}\n"):
            line = process.stdout.readline()
            assert line, "it ended"
            text += line
        said = json.loads(text)
        assert said["folder"] == str(tmp_path / "runs" / "demo" / "colour")
        with urllib.request.urlopen(said["url"] + "app.js") as answer:
            assert (
                answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
                and answer.headers["Cache-Control"] == "no-cache"
            )
            assert answer.read().decode() == TEXTS["app.js"]
        with urllib.request.urlopen(said["url"] + "bundle/bundle.json") as answer:
            assert json.load(answer) == bundle_of("colour").manifest
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# --- in the browser ---

SHOWN = "document.querySelector('main')?.hidden === false && document.querySelectorAll('#grid canvas').length === 16"
SELFTEST = "document.querySelector('#selftest')?.textContent"


def with_bundle(site, bundle, folder):
    """A copy of the site around the bundle in a folder."""
    shutil.copytree(site.folder, folder, ignore=shutil.ignore_patterns("bundle"))
    shutil.copytree(bundle, folder / "bundle")
    return listed(folder)


def listed(folder):
    """The folder of a demo whose files were changed, all of them listed."""
    described = json.loads((folder / "demo.json").read_text())
    described["files"] = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    (folder / "demo.json").write_text(json.dumps(described))
    return folder


def pixels(page, canvas):
    """The levels 0 to 255 of a canvas, its red ones."""
    values = page.run(
        f"(() => {{ const c = document.querySelector('{canvas}'); return Array.from(c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data).filter((_, place) => place % 4 === 0) })()"
    )
    return np.array(values, "float64")


def assert_shows(page, canvas, image, seconds=60):
    """It comes to show the image. A canvas holds whole levels, and the browser's outputs differ by 1e-5: one level."""
    deadline = time.monotonic() + seconds
    while True:
        apart = np.abs(pixels(page, canvas) - 255 * np.ravel(image)).max()
        if apart <= 1.01:
            return
        assert time.monotonic() < deadline, f"{canvas} is {apart} levels from the image that it should show"
        time.sleep(0.05)


@pytest.mark.slow
def test_it_gives_what_keras_gave_and_asks_no_other_machine(site):
    with served(serving.server(site.folder, 0)) as url, browser.page() as page:
        page.open(url + "?selftest")
        result = json.loads(page.wait(SELFTEST))
        assert result["passed"] and result["runtime"] == "runtime/"
        assert {(row["graph"], row["output"], row["batch"]) for row in result["rows"]} == {
            (graph, output, batch)
            for graph, outputs in {"encoder": ("mean", "log_var"), "decoder": ("mean", "logits")}.items()
            for output in outputs
            for batch in (1, 16)
        }
        worst = max(row["error"] for row in result["rows"] if row["output"] == "mean")
        assert 0 < worst <= 1e-5
        asked = [each for each in page.requests if not each.startswith(("data:", "blob:"))]
        assert len(asked) > 10 and all(each.startswith(url) for each in asked)
        assert page.errors == []


@pytest.mark.slow
def test_sliders_by_keyboard_interpolation_and_drawing(site):
    runtime = runtimes.open(site.folder / "bundle", "onnxruntime")
    digits = data.load_arrays("mnist", "test[:16]", binarize="static")
    kl = np.array(runtime.bundle.manifest["latent"]["codes"]["z"]["kl"])
    with served(serving.server(site.folder, 0)) as url, browser.page() as page:
        page.size(1280, 900)
        page.open(url)
        page.wait(SHOWN)
        assert_shows(page, "#picture", runtime.decode(runtime.encode(digits[:1])))

        # The first slider is that of the dimension of most KL; ten arrows right move it by ten steps.
        page.run("document.querySelector('#rest').click(); document.querySelector('#sliders input').focus()")
        page.press("ArrowRight", 10)
        names = page.run(
            "Array.from(document.querySelectorAll('#sliders .slider > span')).map((e) => e.firstChild.data)"
        )
        assert names == [f"z{place}" for place in np.argsort(-kl, kind="stable")]
        z = np.zeros((1, len(kl)), "float32")
        z[0, kl.argmax()] = float(page.run("document.querySelector('#sliders input').value"))
        assert 0.4 < z.max() < 0.6
        assert_shows(page, "#picture", runtime.decode(z))

        # From test image 1 to what the arrow keys choose.
        page.run("document.querySelector('#to input:checked').focus()")
        page.press("ArrowRight", 3)
        codes = runtime.encode(digits[[0, 4]])
        for step in (0, 4, 8):
            image = runtime.decode(codes[:1] + np.float32(step / 8) * (codes[1:] - codes[:1]))
            assert_shows(page, f"#between canvas:nth-child({step + 1})", image)

        # A stroke of the mouse, and one of the keyboard.
        page.run("document.querySelector('#centred').click(); document.querySelector('#pad').scrollIntoView()")
        box = page.run("(() => { const b = document.querySelector('#pad').getBoundingClientRect(); "
                       "return [b.left, b.top, b.width, b.height] })()")  # fmt: skip
        left, top, width, height = box
        page.drag([(left + width * 0.5, top + height * part) for part in (0.2, 0.4, 0.6, 0.8)])
        page.run("document.querySelector('#pad').focus()")
        page.press(" ")
        page.press("ArrowRight", 6)
        drawn = (pixels(page, "#pad") > 127.5).reshape(1, 28, 28, 1).astype("float32")
        assert drawn[0, 6:22, 13:15].all() and drawn[0, 14, 14:20].all() and drawn.sum() < 120
        assert_shows(page, "#reconstruction", runtime.decode(runtime.encode(drawn)))
        page.run("document.querySelector('#use').click()")
        assert_shows(page, "#picture", runtime.decode(runtime.encode(drawn)))
        page.run("document.querySelector('#pad').focus()")
        page.press("Delete")
        assert pixels(page, "#pad").max() == 0
        assert page.errors == []


@pytest.mark.slow
def test_names_for_a_screen_reader_and_a_phones_screen(site):
    with served(serving.server(site.folder, 0)) as url, browser.page() as page:
        page.size(390, 844, phone=True)
        page.open(url)
        page.wait(SHOWN)
        nodes = page.nodes()
        nameless = [node for node in nodes if not node[1] and (node[2] or node[0] in ("image", "slider", "radio"))]
        assert nameless == []
        assert sum(role == "slider" for role, _, _ in nodes) >= 11
        assert ("radio", "test image 1, a 2", True) in nodes and ("application", "Drawing pad", True) in nodes
        for width in (390, 320):
            page.size(width, 844, phone=True)
            assert page.run("document.documentElement.scrollWidth") <= width
        # The picture stays in sight while a slider below it is moved.
        page.size(390, 844, phone=True)
        page.run("window.scrollTo(0, 500)")
        assert 0 <= page.run("document.querySelector('#picture').getBoundingClientRect().top") < 100


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        lambda: CVAE(num_classes=10, latent_dim=3, encoder=DENSE, decoder=DENSE, learned_prior=True),
        lambda: HierarchicalVAE(latent_dims=(3, 2), hidden=8, encoder=DENSE, decoder=DENSE),
        lambda: VQVAE(code_shape=(4,), entries=8, embedding_dim=2, encoder=DENSE, decoder=DENSE),
    ],
    ids=["CVAE", "HierarchicalVAE", "VQVAE"],
)
def test_other_kinds_of_codes(model, site, tmp_path):
    model, real = stirred(model()), digits("mlp")
    real = dataclasses.replace(real, condition=real.labels.astype("int32") if model.conditional else None)
    bundle = export.export(model, tmp_path / "bundle", ("onnx",), real)
    x = data.load_arrays("mnist", "test[:1]", binarize="static")
    condition = np.array([2]) if model.conditional else None  # the class of that digit
    with served(serving.server(with_bundle(site, bundle.path, tmp_path / "site"), 0)) as url, browser.page() as page:
        page.open(url + "?selftest")
        assert json.loads(page.wait(SELFTEST))["passed"]
        assert_shows(page, "#picture", model.reconstruct(x, condition))
        sliders = page.run("Array.from(document.querySelectorAll('#sliders input')).length")
        assert sliders == sum(part.shape[0] for part in model.latent_spec().values() if part.kind != "index")
        if isinstance(model, HierarchicalVAE):
            # Each level's dimensions by the spread of its codes, which is what the page says of them.
            scales = {code: np.array(part["scale"]) for code, part in bundle.manifest["latent"]["codes"].items()}
            order = [
                f"dimension {code}[{k}]" for code, each in scales.items() for k in np.argsort(-each, kind="stable")
            ]
            names = "Array.from(document.querySelectorAll('#sliders input')).map((e) => e.getAttribute('aria-label'))"
            assert page.run(names) == order
            assert page.run("document.querySelector('#sliders p').textContent").startswith(
                "By the spread of test examples' codes"
            )
        if model.conditional:
            page.run("document.querySelector('#classes input:checked').focus()")
            page.press("ArrowRight")
            assert_shows(page, "#picture", model.decode(model.encode(x, condition), np.array([3])))
        elif isinstance(model, VQVAE):
            assert "4 whole numbers below 8" in page.run("document.querySelector('#sliders').textContent")
            assert "does not interpolate" in page.run("document.querySelector('#interpolate-note').textContent")
        page.run("document.querySelector('#random').click()")
        assert page.errors == []


@pytest.mark.slow
def test_codes_are_drawn_from_a_prior_that_was_exported(site, tmp_path):
    """A prior that is all but certain: sixteen times its code, which the bundle's golden.json need not hold."""
    model = stirred(VQVAE(code_shape=(2, 2), entries=3, embedding_dim=2, encoder=DENSE, decoder=DENSE))
    prior = AutoregressivePrior(filters=4, blocks=1, kernel_size=3, epochs=1, batch_size=8)
    code = np.array([[[2, 0], [1, 2]]])
    prior.fit_codes(np.repeat(code, 8, axis=0), 3)
    last = prior.network.last
    last.kernel.assign(np.zeros(last.kernel.shape))
    last.bias.assign([0.0, 60.0, 0.0])  # exp(-60) that any other entry is drawn
    bundle = export.export(model, tmp_path / "bundle", ("onnx",), digits("mlp"), prior=prior)
    with served(serving.server(with_bundle(site, bundle.path, tmp_path / "site"), 0)) as url, browser.page() as page:
        page.open(url + "?selftest")
        assert json.loads(page.wait(SELFTEST))["passed"]
        page.wait(SHOWN)
        certain = model.decode(np.ones((1, 2, 2), "int32"))
        assert_shows(page, "#grid canvas", certain)
        page.run("document.querySelector('#random').click()")
        assert_shows(page, "#picture", certain)
        assert page.errors == []


@pytest.mark.slow
def test_words_are_encoded_written_drawn_and_interpolated(site, tmp_path):
    model = zoo.load("sequence_vae_words")
    bundle = export.export(model, tmp_path / "bundle", formats=("onnx",))
    assert bundle.manifest["preprocessing"]["alphabet"] == data.words.ALPHABET
    between = np.linspace(*model.encode(data.words.to_tokens(["paper", "stone"])), 9, dtype="float32")
    path = data.words.to_text(model.decode(between))
    assert path[0] == "paper" and path[-1] == "stone" and len(set(path)) > 3
    with served(serving.server(with_bundle(site, bundle.path, tmp_path / "site"), 0)) as url, browser.page() as page:
        page.open(url + "?selftest")
        assert json.loads(page.wait(SELFTEST))["passed"]
        test_words = data.words.to_text(data.load_arrays("words", "test[:2]"))
        assert page.run("document.querySelector('#word').textContent") == test_words[0]

        def write(field, word):
            page.run(f"(() => {{ const field = document.querySelector('{field}'); field.focus(); field.select() }})()")
            page.write(word)

        def words(selector):
            return f"Array.from(document.querySelectorAll('{selector}')).map((each) => each.textContent).join(' ')"

        write("#from input", "paper")
        write("#to input", "Stone")  # capitals are letters too
        page.wait(f"{words('#between .word')} === '{' '.join(path)}'")
        write("#typed input", "keyboard")
        rewritten = data.words.to_text(model.reconstruct(data.words.to_tokens(["keyboard"])))[0]
        page.wait(f"{words('#rewritten')} === '{rewritten}'")
        page.run("document.querySelector('#use-word').click()")
        page.wait(f"{words('#word')} === '{rewritten}'")
        for wrong in ("two words", "letters" * 3, "naïve"):
            write("#typed input", wrong)
            assert page.run(words("#typed .quiet")) == "At most 15 letters from a to z."
            page.wait(f"{words('#rewritten')} === ''")

        drawn = page.run(words("#grid .word"))
        assert len(set(drawn.split())) > 8 and len(drawn.split()) == 16
        page.run("document.querySelector('#again').click()")
        page.wait(f"{words('#grid .word')} !== '{drawn}'")
        nodes = page.nodes()
        assert [node for node in nodes if not node[1] and node[0] in ("textbox", "slider", "button")] == []
        assert {"From which word", "To which word", "A word to encode"} <= {
            n for role, n, _ in nodes if role == "textbox"
        }
        assert page.errors == []


@pytest.mark.slow
def test_draws_of_a_mixture_are_of_its_components(site, tmp_path):
    """Three components that are points, of which one is never drawn: every draw is one of the other two."""
    folder = copied("mlp", tmp_path / "bundle")
    latent = json.loads(json.dumps(bundle_of("mlp").manifest["latent"]))
    means = [[1.0, -1.0, 0.5], [-2.0, 0.0, 1.5], [3.0, 3.0, 3.0]]
    latent["prior"] = {"name": "mixture", "weights": [0.25, 0.75, 0.0], "mean": means, "scale": [[1e-9] * 3] * 3}
    edited(folder, reseal=True, latent=latent)
    with_bundle(site, folder, tmp_path / "site")
    order = np.argsort([-kl for kl in latent["codes"]["z"]["kl"]], kind="stable")
    with served(serving.server(tmp_path / "site", 0)) as url, browser.page() as page:
        page.open(url)
        page.wait(SHOWN)
        assert page.run("document.querySelector('#about-draws').textContent") == ""
        draw = (
            "(async () => { document.querySelector('#random').click(); await new Promise((done) => setTimeout(done)); "
            "return Array.from(document.querySelectorAll('#sliders output')).map((e) => Number(e.textContent)) })()"
        )
        found = [tuple(page.run(draw)) for _ in range(40)]
        expected = {tuple(np.array(mean)[order]) for mean in means[:2]}
        # Of 40 draws the rarer is missing with probability 0.75**40, 1e-5.
        assert set(found) == expected
        assert page.errors == []


@pytest.mark.slow
def test_the_bundles_own_limits_are_those_that_it_compares_with(site, tmp_path):
    folder = copied("mlp", tmp_path / "bundle")
    limits = json.loads(json.dumps(bundle_of("mlp").manifest["limits"]))
    limits["decoder"]["mean"]["float32"] = {"max": 0.0, "mean": 1e-3, "p99": 1e-3}
    edited(folder, reseal=True, limits=limits)
    with_bundle(site, folder, tmp_path / "site")
    with served(serving.server(tmp_path / "site", 0)) as url, browser.page() as page:
        page.open(url + "?selftest")
        result = json.loads(page.wait(SELFTEST))
    rows = [row for row in result["rows"] if (row["graph"], row["output"]) == ("decoder", "mean")]
    assert not result["passed"] and {row["statistic"] for row in rows} == {"max", "mean", "p99"}
    worst = {name: max(row["error"] for row in rows if row["statistic"] == name) for name in ("mean", "p99", "max")}
    assert 0 < worst["mean"] < worst["p99"] < worst["max"] < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), [("onnx_fp16", "float16"), ("onnx_int8", "int8")])
def test_a_bundle_of_a_reduced_precision_alone(name, precision, site, tmp_path):
    model = model_of("mlp")
    bundle = export.export(model, tmp_path / "bundle", (name,), digits("mlp"), force=True)
    made = demo.build(bundle.path, tmp_path / "made")
    assert made.runtime == "local"
    with served(serving.server(made.folder, 0)) as url, browser.page() as page:
        page.open(url + "?selftest")
        result = json.loads(page.wait(SELFTEST))
        assert result["passed"] and max(row["error"] for row in result["rows"]) > 1e-5
        assert f"Computed from the {precision} files" in page.run("document.querySelector('#summary').textContent")
        assert page.errors == []


@pytest.mark.slow
def test_a_page_that_came_over_plain_http_says_that_it_cannot_hash(site):
    """To this machine under another name, browsers give no more than to any other."""
    rules = "--host-resolver-rules=MAP elsewhere.test 127.0.0.1 , MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
    said = "document.querySelector('#unverified').checkVisibility()"
    with served(static(site.folder)) as url, browser.page(rules) as page:
        page.open(url)
        page.wait(SHOWN)
        assert page.run(said) is False
        page.open(url.replace("127.0.0.1", "elsewhere.test"))
        page.wait("location.hostname === 'elsewhere.test' && " + SHOWN)
        assert page.run("isSecureContext") is False and page.run(said) is True
        assert page.errors == []


@pytest.mark.slow
def test_another_bundle_is_opened_from_the_files_of_this_machine(site):
    """One of colour images that are not digits, so without classes."""
    model, folder = model_of("colour"), bundle_of("colour").path
    x = bundle_of("colour").golden()["encoder"]["inputs"]["x"]
    names = ["bundle.json", "golden.json", "encoder.onnx", "decoder.onnx"]
    with served(serving.server(site.folder, 0)) as url, browser.page() as page:
        page.open(url)
        page.wait(SHOWN)
        page.choose("#files", [folder / name for name in names[:3]])
        page.wait("document.querySelector('#status').textContent.startsWith('Choose decoder.onnx too')")
        page.choose("#files", [folder / name for name in names])
        page.wait("document.querySelector('#summary').textContent.includes('8×8×3')")
        assert_shows(page, "#picture", model.reconstruct(x[:1])[..., 0])  # the red of it
        page.run("document.querySelector('#check').click()")
        assert json.loads(page.wait(SELFTEST))["passed"]
        assert page.errors == []


@pytest.mark.slow
def test_what_is_wrong_with_a_bundle_is_said(site, tmp_path):
    folder = Path(shutil.copytree(site.folder, tmp_path / "site"))
    (folder / "bundle" / "decoder.onnx").write_bytes(b"damaged")
    with served(serving.server(folder, 0)) as url, browser.page() as page:
        page.open(url)
        status = "document.querySelector('#status.error')?.textContent"
        assert page.wait(status) == "decoder.onnx is not the file that was exported. Export the model again."
        page.open(url + "?bundle=nowhere/")
        assert "nowhere/bundle.json is not there" in page.wait(f"{status}?.includes('nowhere') && {status}")
        shutil.rmtree(folder / "runtime")
        page.open(url + "?nothing")
        assert "Run npm install in the kit" in page.wait(f"{status}?.includes('npm') && {status}")


@pytest.mark.slow
def test_a_file_that_is_not_in_the_bundles_folder_is_not_fetched(site, tmp_path):
    formats = json.loads(json.dumps(bundle_of("mlp").formats))
    folder = copied("mlp", tmp_path / "bundle")
    for place in ("https://cdn.jsdelivr.net/x.onnx", "../index.html", "//127.0.0.1:1/x.onnx"):
        formats["onnx"]["files"]["encoder"] = place
        edited(folder, reseal=True, formats=formats)
        shutil.rmtree(tmp_path / "site", ignore_errors=True)
        with_bundle(site, folder, tmp_path / "site")
        with served(serving.server(tmp_path / "site", 0)) as url, browser.page() as page:
            page.open(url)
            assert f"outside the bundle: {place}" in page.wait("document.querySelector('#status.error')?.textContent")
            assert not any("x.onnx" in each for each in page.requests)


class _Static(http.server.SimpleHTTPRequestHandler):
    def end_headers(self):
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, format, *args):
        pass


def static(folder):
    """Any web server."""
    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Static, directory=str(folder)))


@contextlib.contextmanager
def played_cdn(folder, scratch):
    """A server of `folder` under the CDN's name, on this machine; yields the flags of a browser that is told so."""
    browser.require(shutil.which("openssl"), "openssl, for the certificate of a server")
    key, certificate = scratch / "key.pem", scratch / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=cdn.jsdelivr.net"]
    subprocess.run([*words, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    cdn = static(folder)
    cdn.socket = context.wrap_socket(cdn.socket, server_side=True)
    rules = f"MAP cdn.jsdelivr.net 127.0.0.1:{cdn.server_port} , MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
    with served(cdn):
        yield f"--host-resolver-rules={rules}", "--ignore-certificate-errors"


@pytest.mark.slow
def test_a_bundle_of_another_server_is_opened_only_if_the_person_agrees(site, tmp_path):
    shutil.copytree(bundle_of("mlp").path, tmp_path / "cdn" / "bundle")
    there, status = "https://cdn.jsdelivr.net", "document.querySelector('#status').textContent"
    agree = "document.querySelector('#agree')"
    with (
        played_cdn(tmp_path / "cdn", tmp_path) as flags,
        served(static(tmp_path / "cdn")) as other,
        served(serving.server(site.folder, 0)) as url,
        browser.page(*flags) as page,
    ):
        page.open(f"{url}?bundle={there}/bundle/")
        page.wait(f"{agree}?.checkVisibility()")
        assert page.run(status) == (f"This address asks for a bundle of another server, {there}, so it was not opened.")
        assert not any(each.startswith(there) for each in page.requests)
        page.run(f"{agree}.click()")
        page.wait(SHOWN)
        assert any(each.startswith(f"{there}/bundle/") for each in page.requests)
        assert page.run(f"{agree}.checkVisibility()") is False and "BetaVAE" in page.run(
            "document.title + document.body.textContent"
        )
        # However it is spelled; and where the page's policy does not reach, agreeing does not help.
        for spelled in (other, other.removeprefix("http:"), "data:application/json,"):
            page.open(f"{url}?bundle={spelled}")
            page.wait(f"{agree}?.checkVisibility() && {status}.includes('another server')")
        page.open(f"{url}?bundle={other}bundle/")
        page.wait(f"{agree}?.checkVisibility()")
        page.run(f"{agree}.click()")
        page.wait("document.querySelector('#status.error') !== null")
        # Of its own server, nobody is asked.
        page.open(f"{url}?bundle={url}bundle/")
        page.wait(SHOWN)


@pytest.mark.slow
@pytest.mark.parametrize("genuine", [True, False])
def test_without_a_runtime_it_takes_the_cdns_if_its_hash_is_right(genuine, site, tmp_path):
    """The CDN is played by this machine, with npm's files: the browser is told that its name is here."""
    dist = tmp_path / "cdn" / PINNED["cdn"].split("/", 3)[3]
    folder = Path(shutil.copytree(site.folder, tmp_path / "site"))
    shutil.move(folder / "runtime", dist)
    if not genuine:
        with open(dist / PINNED["script"], "a") as file:
            file.write("\n// one line more")
    with (
        played_cdn(tmp_path / "cdn", tmp_path) as flags,
        served(serving.server(folder, 0)) as url,
        browser.page(*flags) as page,
    ):
        page.open(url + "?selftest")
        result = json.loads(page.wait(SELFTEST))
        assert result["passed"] is genuine
        assert result["runtime"] == PINNED["cdn"] if genuine else "not the file that its hash says" in result["error"]
