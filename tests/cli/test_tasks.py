"""What people do with a model, from the command line: the same arrays as from Python, and one line for mistakes."""

import os

import numpy as np
import pytest

from keras_vae import data, plots, priors, tasks, zoo
from keras_vae.zoo.examples import examples_of
from tests import toy_runs
from tests.cli.test_commands import call as call
from tests.cli.test_commands import document, error
from tests.pages.test_html import Balanced

slow = pytest.mark.slow  # each command traces graphs of its own


def test_an_interpolation_has_the_images_themselves_at_its_ends(call, run, tmp_path, monkeypatch):
    """The fast sibling of the pictures: what is drawn, as Python gives it."""
    drawn = []
    rows = plots.rows
    monkeypatch.setattr(
        plots, "rows", lambda images, columns: drawn.append((images, columns)) or rows(images, columns=columns)
    )
    answer = document(call("interpolate", run, "--json", "--count", 2, "--steps", 3))
    assert answer == {"file": "runs/toy/interpolation.png", "shape": [2, 3, 28, 28, 1]}
    x = examples_of(zoo.card(run).recipe).images
    ((images, columns),) = drawn
    assert columns == ["image", "0", "0.5", "1", "image"]
    expected = tasks.interpolate(zoo.load(run), x[:2], x[2:4], steps=3)
    np.testing.assert_allclose(images, np.concatenate([x[:2, None], expected, x[2:4, None]], axis=1), atol=1e-5)


def test_scores_are_compared_on_the_same_images(call, run, tmp_path):
    """The fast sibling of the anomalies."""
    words = ["--count", 20, "--score", "elbo", "--score", "reconstruction", "--score", "elbo"]
    answer = document(call("anomaly", run, "--json", *words))
    images, model = examples_of(zoo.card(run).recipe).images[:20], zoo.load(run)
    sets = (images[:10], images[10:], images[10:, ::-1])
    assert list(answer["scores"]) == ["elbo", "reconstruction"] and answer["samples"] == 100
    for score, found in answer["scores"].items():
        expected = tasks.judge(*(tasks.anomaly_scores(model, x, score) for x in sets)).detection
        assert found == pytest.approx(expected._asdict(), abs=1e-4)
    assert (tmp_path / answer["file"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["anomaly", "--leave-out", "one"],
            "--one-class take numbers such as 7 or 1,7, or 'all'. Given: 'one'.",
        ),
        (["anomaly", "--score", "distance"], "Unknown score 'distance'"),
        (["interpolate", "--decoded-with", "both"], "decoded_with is one of nearer, first, second. Given: 'both'."),
        (["manifold", "--output", "a.jpg"], "The output must end in .png. Given: a.jpg."),
    ],
)
def test_mistakes_that_are_found_before_any_graph_is_traced(call, run, tmp_path, words, message):
    assert message in error(call(words[0], run, *words[1:]))
    assert not any(name.endswith(".png") for _, _, names in os.walk(tmp_path) for name in names)


@slow
def test_anomalies_of_each_kind(call, run, tmp_path):
    model, images = zoo.load(run), examples_of(zoo.card(run).recipe).images
    strange = {
        "upside_down": images[100:200, ::-1],
        "sprites": data.other_images("sprites", (28, 28, 1), 100, binary=True, seed=3),
        "x.npy": np.ones((5, 28, 28, 1), "float32"),
    }
    np.save(tmp_path / "x.npy", (255 * strange["x.npy"]).astype("uint8"))  # read as training reads them
    for name, odd in strange.items():
        words = ["--count", 200, "--rate", 0.1, "--seed", 3, "--anomalies", name]
        answer = document(call("anomaly", run, "--json", *words))
        first, second, third = (tasks.anomaly_scores(model, x, seed=3) for x in (images[:100], images[100:200], odd))
        expected = tasks.detection(second, third, cutoff=tasks.threshold(first, 0.1))
        assert answer["scores"]["elbo"] == pytest.approx(expected._asdict(), abs=1e-4)
        assert (
            answer["samples"] == 100
            and answer["anomalies"] == name
            and answer["rate"] == 0.1
            and answer["images"] == 100
        )
        assert (tmp_path / answer["file"]).read_bytes().startswith(b"\x89PNG")
    code, out, _ = call("anomaly", run, "--count", 20, "--score", "reconstruction", "--score", "log_prob")
    assert code == 0 and "AUPRC" in out and "±" in out and "10 anomalies to judge" in out
    assert "reconstruction" in out and "log_prob" in out and "elbo" not in out


@slow
def test_a_digit_is_left_out(call, run, tmp_path):
    words = ["--leave-out", "1,8", "--epochs", 1, "--score", "reconstruction", "--score", "elbo"]
    answer = document(call("anomaly", run, "--json", *words))
    assert set(answer["left_out"]) == {"1", "8"} and answer["epochs"] == 1
    for found in [found for scores in answer["left_out"].values() for found in scores.values()]:
        assert 0 <= found["auroc"] <= 1 and found["false_positive_rate"] < 0.2
    assert (tmp_path / answer["file"]).read_bytes().startswith(b"\x89PNG")


@slow
def test_trained_on_one_digit(call, run, tmp_path):
    answer = document(call("anomaly", run, "--json", "--one-class", "1", "--epochs", 20))
    assert set(answer["one_class"]) == {"1"} and "left_out" not in answer
    assert answer["one_class"]["1"]["elbo"]["auroc"] > 0.8, "ones are unlike the others, even to a toy"
    assert (tmp_path / answer["file"]).read_bytes().startswith(b"\x89PNG")


@slow
def test_pictures_of_codes(call, run, tmp_path):
    model, images = zoo.load(run), examples_of(zoo.card(run).recipe).images
    for words, shape, file in (
        (["interpolate", run, "--count", 2, "--steps", 3, "--method", "spherical"], [2, 3, 28, 28, 1], "interpolation"),
        (["interpolate", run, "--count", 2, "--path", "posteriors"], [2, 11, 28, 28, 1], "interpolation"),
        (["manifold", run, "--side", 3, "--dimensions", 0, 2], [3, 3, 28, 28, 1], "manifold"),
        (["embed", run, "--count", 50], [50, 2], "codes"),
        (["embed", run, "--count", 50, "--method", "tsne"], [50, 2], "codes"),
        (["impute", run, "--count", 3, "--steps", 2, "--missing", "left"], [3, 28, 28, 1], "imputation"),
    ):
        answer = document(call(*words, "--json"))
        assert answer == {"file": f"runs/toy/{file}.png", "shape": shape}
        assert (tmp_path / answer["file"]).read_bytes().startswith(b"\x89PNG")
    document(call("embed", run, "--json", "--count", 50, "--output", "points.npy"))
    np.testing.assert_allclose(np.load(tmp_path / "points.npy"), tasks.to_plane(model.encode(images[:50])), atol=1e-4)


@slow
def test_the_size_of_a_code(call, run):
    answer = document(call("compress", run, "--json", "--count", 20, "--samples", 4))
    expected = tasks.code_length(zoo.load(run), examples_of(zoo.card(run).recipe).images[:20], samples=4)
    assert answer["priors"] == {"own": pytest.approx(expected._asdict(), rel=1e-5)}
    code, out, _ = call("compress", run, "--count", 20, "--samples", 4)
    assert code == 0 and "bits per dimension" in out


@slow
def test_what_labels_add(call, run, tmp_path):
    answer = document(call("attribute", run, "--json", "--label", 1, "--count", 3, "--strength", 2))
    assert answer == {"file": "runs/toy/attribute.png", "shape": [3, 7, 28, 28, 1]}
    assert (tmp_path / answer["file"]).read_bytes().startswith(b"\x89PNG")
    answer = document(call("classify", run, "--json", "--labels", 50, "--epochs", 2, "--count", 100))
    assert answer["labels"] == 50 and answer["images"] == 100
    assert set(answer["accuracy"]) == {
        "logistic regression on codes", "encoder, fine-tuned", "encoder, untrained"
    }  # fmt: skip
    model, examples = zoo.load(run), examples_of(zoo.card(run).recipe, "train[:1000]")
    kept = data.keep_labels(examples.labels, 50, 0)
    fitted = tasks.m1_classifier(model, examples.images[kept >= 0], kept[kept >= 0])
    test = examples_of(zoo.card(run).recipe)
    expected = fitted.score(model.encode(test.images[:100]), test.labels[:100])
    assert answer["accuracy"]["logistic regression on codes"]["value"] == pytest.approx(expected)


@slow
def test_samples_from_a_fitted_prior(call, run, tmp_path):
    model, recipe = zoo.load(run), zoo.card(run).recipe
    document(call("sample", run, "--json", "--count", 4, "--prior", "mixture", "--output", "s.npy"))
    fitted = priors.MixturePrior().fit(model, examples_of(recipe, recipe.data.train).images)
    np.testing.assert_allclose(np.load(tmp_path / "s.npy"), model.sample(4, prior=fitted), atol=1e-5)
    fitted.save(tmp_path / "mixture.prior")
    document(call("sample", run, "--json", "--count", 4, "--prior", "mixture.prior", "--output", "t.npy"))
    np.testing.assert_allclose(np.load(tmp_path / "t.npy"), np.load(tmp_path / "s.npy"), atol=1e-5)
    assert "Unknown prior 'mixtrue'. Did you mean 'mixture'?" in error(call("sample", run, "--prior", "mixtrue"))
    assert "AutoregressivePrior" in error(call("sample", run, "--prior", "autoregressive"))


@slow
def test_a_report_shows_what_the_model_has(call, run, tmp_path):
    document(call("report", run, "--json", "--count", 60))
    parsed = Balanced((tmp_path / "runs/toy/report.html").read_text(encoding="utf-8"))
    captions = " ".join(parsed.of("figcaption"))
    for words in ("Training curves", "KL of each latent dimension", "Between two test images", "Codes of 60 test",
                  "Anomaly detection"):  # fmt: skip
        assert words in captions
    said, results = " ".join(parsed.of("p")), zoo.card(run).results
    assert results["weights"]["sha256"] in said and f"tensorflow {results['versions']['tensorflow']}" in said
    assert "No published number is known" in said and "2 epochs, 20 steps" in said
    assert parsed.of("h2") == ["Measured", "What it has learned", "Training", "Recipe"]
    assert "codebook" not in captions and "The plane" not in captions


@slow
def test_an_overview_is_in_the_report(call, own_run, tmp_path):
    row = {"value": 0.25, "standard_error": 0.01, "examples": 300, "repetitions": 5}
    overview = {"seed": 0, "latent": {"kl_split": {"marginal_kl": row}}, "representation": {"clustering": {"nmi": row}}}
    toy_runs.edit_results(own_run, lambda results: results.update(overview=overview))
    document(call("report", own_run, "--json", "--count", 60, "--output", "r.html"))
    cells = Balanced((tmp_path / "r.html").read_text(encoding="utf-8")).of("td")
    assert (
        "marginal KL(q(z) || p(z)), nats" in cells and "0.25 ± 0.01" in cells and "300 images, 5 repetitions" in cells
    )


@slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["anomaly", "--anomalies", "cats"], "Unknown other images 'cats'"),
        (["anomaly", "--anomalies", "gone.npy"], "gone.npy"),
        (["anomaly", "--rate", "0"], "false_positive_rate lies between 0 and 1"),
        (["anomaly", "--leave-out", "11"], "A class that is left out has images in both sets"),
        (["anomaly", "--one-class", "11"], "A class to train on has images in both sets"),
        (["anomaly", "--one-class", "1", "--leave-out", "1"], "without a class, or on it alone"),
        (["anomaly", "--leave-out", "1", "--epochs", "0"], "epochs must be a whole number, 1 or more"),
        (["interpolate", "--method", "circular"], "method is one of linear, spherical"),
        (["interpolate", "--count", "0"], "count must be a whole number, 1 or more"),
        (["manifold", "--dimensions", "0", "0"], "dimensions are two different ones"),
        (["embed", "--method", "umap"], "method is one of pca, tsne"),
        (["embed", "--method", "tsne", "--count", "20"], "tsne needs 32 codes or more"),
        (["impute", "--missing", "middle"], "Unknown half 'middle'"),
        (["attribute", "--label", "11"], "An attribute is had by some images and not by others. Given: none."),
        (["classify", "--labels", "0"], "labels must be a whole number, 1 or more"),
        (["compress", "--count", "1"], "A standard error needs two images or more"),
        (["evaluate", "--disentanglement", "--representation", "--split", "test[:1]"], "two images or more"),
    ],
)
def test_mistakes(call, run, tmp_path, words, message):
    assert message in error(call(words[0], run, *words[1:]))
    assert not any(name.endswith(".png") for _, _, names in os.walk(tmp_path) for name in names)
