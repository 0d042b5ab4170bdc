"""Every kind of model is measured by what it has: without an ELBO, with labels, with integer codes, with levels."""

# The optional fields of an estimate are there in these cases.
# pyright: reportTypedDictNotRequiredAccess=false, reportOptionalOperand=false

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from keras_vae import data, randomness, zoo
from keras_vae.cli import main
from keras_vae.errors import UserError
from keras_vae.evaluation import Evaluation
from keras_vae.models import AE, CVAE, IWAE, VQVAE, WAE, AnnealedVAE, BetaTCVAE, HierarchicalVAE
from keras_vae.zoo import evaluations, wording
from keras_vae.zoo.examples import examples_of
from keras_vae.zoo.verifying import card_metrics
from tests import toy_runs
from tests.toys import SHAPE, binary, mlp, toy

pytestmark = pytest.mark.slow  # a model of each kind is trained and measured

X = binary(300, seed=1)  # more than one block, and two batches of 128 and a part
Y = (np.arange(300) % 3).astype("int32")
PIXELS = {"image_shape": SHAPE, "encoder": mlp(), "decoder": mlp(), "seed": 3}


def value(rows, metric):
    return rows[metric]["value"]


# --- Each kind, against its own distributions ---


def test_a_model_without_elbo():
    model = toy(AE, seed=3)
    rows = card_metrics(Evaluation(model, X, seed=0, samples=8))
    assert list(rows) == ["log_px", "squared_error", "active_units"]
    z = model.encode(X)
    log_px = model.likelihood(z).log_prob(X).numpy().astype("float64")
    assert value(rows, "log_px") == pytest.approx(log_px.mean(), abs=1e-5)
    assert rows["log_px"]["standard_error"] == pytest.approx(log_px.std(ddof=1) / np.sqrt(300), rel=1e-5)
    errors = ((model.decode(z).astype("float64") - X) ** 2).sum((1, 2, 3))
    assert value(rows, "squared_error") == pytest.approx(errors.mean(), rel=1e-6)
    np.testing.assert_allclose(rows["active_units"]["parts"], z.astype("float64").var(0, ddof=1), rtol=1e-6)
    assert {row["samples"] for row in rows.values()} == {0}, "nothing is drawn"


def test_a_conditional_model_is_given_its_labels():
    model = toy(CVAE, num_classes=3, learned_prior=True, seed=3)
    rows = card_metrics(Evaluation(model, X, seed=0, samples=4, condition=Y))
    assert value(rows, "elbo") == pytest.approx(model.elbo(X, condition=Y).mean(), abs=1e-5)
    assert value(rows, "log_prob") == pytest.approx(model.log_prob(X, samples=4, condition=Y).mean(), abs=1e-5)
    others = card_metrics(Evaluation(model, X, seed=0, samples=0, condition=(Y + 1) % 3))
    assert abs(value(others, "elbo") - value(rows, "elbo")) > 1e-3, "the labels matter"
    with pytest.raises(UserError, match="A CVAE needs a condition"):
        card_metrics(Evaluation(model, X, seed=0, samples=0))


def test_integer_codes():
    """The ELBO is log p(x|codes) - positions * log(entries), and counts are over all codes of the test images."""
    model = VQVAE(code_shape=(3,), entries=5, embedding_dim=2, **PIXELS)
    rows = card_metrics(Evaluation(model, X, seed=0, samples=8))
    found = model.encode(X)
    log_px = model.likelihood(tf.constant(found)).log_prob(X).numpy().mean(dtype="float64")
    assert value(rows, "elbo") == pytest.approx(log_px - 3 * np.log(5), abs=1e-4)
    assert "log_prob" not in rows and "active_units" not in rows
    assert value(rows, "codes_used") == len(np.unique(found))
    shares = np.bincount(found.ravel()) / found.size
    entropy = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
    assert value(rows, "code_perplexity") == pytest.approx(np.exp(entropy))
    # Its own perplexity is that of batches of 128, as fit shows it: of the codes in them, not of counts in images.
    parts = [np.bincount(found[start : start + 128].ravel(), minlength=5) / (3 * 128) for start in (0, 128)]
    each = [np.exp(-(part[part > 0] * np.log(part[part > 0])).sum()) for part in parts]
    assert value(rows, "perplexity") == pytest.approx(np.mean(each), rel=1e-5)


def test_levels():
    model = HierarchicalVAE(latent_dims=(3, 2), hidden=6, **PIXELS)
    rows = card_metrics(Evaluation(model, X, seed=0, samples=0))
    assert len(rows["kl"]["parts"]) == 2 and sum(rows["kl"]["parts"]) == pytest.approx(value(rows, "kl"), abs=1e-5)
    means = model.encode(X)
    variances = [each for name in ("z1", "z2") for each in means[name].astype("float64").var(0, ddof=1)]
    np.testing.assert_allclose(rows["active_units"]["parts"], variances, rtol=1e-6)


def test_kl_in_parts_is_that_of_the_dimensions():
    from keras_vae.evaluation.latent import kl_per_dimension

    model = toy(seed=3, latent_dim=4)
    row = card_metrics(Evaluation(model, X, seed=0, samples=0))["kl"]
    np.testing.assert_allclose(row["parts"], kl_per_dimension(model, X), rtol=1e-5)
    assert sum(row["parts"]) == pytest.approx(row["value"], rel=1e-5)


def test_a_models_own_terms_are_means_over_whole_batches():
    """Batches 0:128 and 128:256, each with the noise of its number; the last 44 images make no batch of that size."""
    model = toy(WAE, seed=3)
    row = card_metrics(Evaluation(model, X, seed=7, samples=0))["mmd"]
    base, own = randomness.seed_of(7, randomness.EVALUATION), []
    for place in range(2):
        with model.draws.using(randomness.fold(base, place)):
            terms = model.terms({"x": tf.constant(X[128 * place : 128 * (place + 1)])}, training=False)
        own.append(float(tf.reduce_mean(terms.logs["mmd"])))
    assert row["value"] == pytest.approx(np.mean(own), abs=1e-6) and row["batch"] == 128
    assert row["standard_error"] == pytest.approx(np.std(own, ddof=1) / np.sqrt(2), abs=1e-6)
    one = card_metrics(Evaluation(model, X[:50], seed=7, samples=0))["mmd"]
    assert one["standard_error"] is None, "one batch, a part, is all there is"


@pytest.mark.parametrize(
    ("model", "own"),
    [
        (lambda: toy(BetaTCVAE, dataset_size=300), {"mutual_information", "total_correlation", "dimension_kl"}),
        (lambda: toy(AnnealedVAE, capacity=3.0), {"capacity"}),
        (lambda: toy(IWAE, importance_samples=3), {"iw_bound"}),
    ],
    ids=["BetaTCVAE", "AnnealedVAE", "IWAE"],
)
def test_logs_are_measured_under_their_names(model, own):
    made = model()
    rows = card_metrics(Evaluation(made, X, seed=0, samples=0))
    assert own == set(rows) - {"elbo", "log_px", "kl", "squared_error", "active_units"}
    json.dumps(rows, allow_nan=False)
    if own == {"capacity"}:
        assert value(rows, "capacity") == 3.0 and rows["capacity"]["standard_error"] == 0.0
    assert rows["elbo"]["samples"] == (3 if own == {"iw_bound"} else 1), "the draws that its terms take"


# --- The whole way, from a recipe to a card ---

GONE = toy_runs.REMOVED
WITHOUT_LATENT = {"model.latent_dim": GONE}
# What changes in the toy's recipe, and the pictures there are.
KINDS = {
    "AE": ({}, {"reconstructions.png", "traversal.png", "curves.png"}),
    "AAE": ({"model.critic": {"name": "mlp", "hidden": [8]}}, None),
    "CVAE": ({"model.num_classes": 10}, None),
    "HierarchicalVAE": ({**WITHOUT_LATENT, "model.latent_dims": [3, 2], "model.hidden": 8}, None),
    "RAE": ({}, None),
    "VQVAE": (
        {**WITHOUT_LATENT, "model.code_shape": [4], "model.entries": 8, "model.embedding_dim": 4},
        {"reconstructions.png", "samples.png", "curves.png"},
    ),
    "FlowVAE": ({"model.depth": 1}, None),
    "SequenceVAE": (toy_runs.WORDS, {"curves.png"}),
}
FAST = ("CVAE",)


@pytest.fixture(scope="module", params=[k if k in FAST else pytest.param(k, marks=pytest.mark.slow) for k in KINDS])
def trained(request, tmp_path_factory):
    """A toy recipe of one kind, trained."""
    changes, pictures = KINDS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    recipe = {
        "model.class": request.param,
        "model.beta": GONE,
        "training.epochs": 1,
        "evaluation.samples": 2,
        "evaluation.overview": True,
        **changes,
    }
    model = zoo.train(toy_runs.write_recipe(folder / "toy.toml", recipe), folder / "toy", verbose=0)
    return model, pictures or {"reconstructions.png", "samples.png", "traversal.png", "curves.png"}


def test_a_recipe_of_any_kind_becomes_a_card(trained):
    model, pictures = trained
    card, folder = zoo.card(model.provenance.folder), model.provenance.folder
    assert set(card.results["pictures"]) == pictures
    assert {name for name in os.listdir(folder) if name.endswith(".png")} == pictures
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text == card.markdown()
    assert ("![Samples from the prior]" in text) == ("samples.png" in pictures)
    rows = zoo.verify(folder, log_prob=False)  # its compilation takes seconds, and test_verifying has it
    assert set(rows) == set(card.results["metrics"]) - {"log_prob"}
    assert ("log_prob" in card.results["metrics"]) == (model.stochastic and "code_perplexity" not in rows)
    assert ("elbo" in rows) == model.stochastic
    shares = {"tokens_right", "sequences_right"}
    assert ({"squared_error"} if model.x_spec().kind == "image" else shares) == set(rows) & {
        "squared_error",
        *shares,
    }
    assert ("| sequence | reconstruction |" in text) == (model.x_spec().kind == "tokens")
    assert max(abs(row["difference"]) for row in rows.values()) < 1e-3, "the same machine"
    assert ("read p(x\\|y) for p(x)" in text) == model.conditional


# What each kind has beside what all have, and why another lacks it.
OVERVIEW = {
    "AE": (set(), {"generation.mnist_fd": "has no prior", "latent.kl_split": "no distribution over codes"}),
    "CVAE": (
        {"generation.mnist_fd", "generation.condition_accuracy", "generation.memorisation"},
        {"latent.kl_split": "unconditional", "latent.codebook": "of integer codes"},
    ),
    "HierarchicalVAE": ({"latent.kl_split", "latent.collapse", "generation.mnist_fd"}, {}),
    "VQVAE": (  # which has learned so little that it uses fewer codes than there are digits
        {"latent.codebook", "generation.mnist_fd"},
        {"latent.collapse": "of real codes", "representation.clustering": "as many different codes as classes"},
    ),
}


@pytest.mark.parametrize("trained", list(OVERVIEW), indirect=True)
def test_what_the_evaluation_gives_is_recorded_and_shown(trained):
    model, _ = trained
    card = zoo.card(model.provenance.folder)
    overview, text = card.results["overview"], card.markdown()
    has, lacks = OVERVIEW[type(model).__name__]
    recorded = {f"{section}.{name}" for section in ("latent", "generation", "representation")
                for name in overview[section]}  # fmt: skip
    assert {"generation.reconstruction", "representation.probes"} | has <= recorded
    for path, reason in lacks.items():
        assert path not in recorded and reason in overview["without"][path]
    again = evaluations.evaluate(model.provenance.folder, ["generation.reconstruction", "representation.clustering"])
    for section in ("generation", "representation"):
        for name, found in again[section].items():
            assert overview[section][name] == found, "the same seed"
    ssim = overview["generation"]["reconstruction"]["ssim"]
    assert f"| SSIM of the reconstruction | {wording.number(ssim)} | 300 images |" in text
    probe = wording.number(overview["representation"]["probes"]["linear"]["100"])
    assert f"| accuracy of a linear probe fitted to 100 labels | {probe} | 300 images, 5 repetitions" in text


@pytest.mark.parametrize("trained", ["AE"], indirect=True)
def test_results_without_what_the_evaluation_gives_are_still_read(trained, tmp_path):
    """As they were written before it was recorded."""
    model, _ = trained
    toy_runs.copy_of(model.provenance.folder, tmp_path / "old")
    toy_runs.edit_results(tmp_path / "old", lambda results: results.pop("overview"))
    card = zoo.card(tmp_path / "old")
    assert "Further" not in card.markdown() and "## Measured" in card.markdown()
    assert set(zoo.verify(tmp_path / "old")) == set(card.results["metrics"])


@pytest.mark.slow
@pytest.mark.parametrize("trained", [kind for kind in KINDS if kind != "SequenceVAE"], indirect=True)
def test_the_commands_take_any_kind(trained, tmp_path, monkeypatch, capsys):
    model, pictures = trained
    monkeypatch.chdir(tmp_path)

    def call(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([*words])
        printed = capsys.readouterr()
        assert printed.err.count("\n") <= 1 and "Traceback" not in printed.err
        return left.value.code, printed.out + printed.err

    name = str(model.provenance.folder)
    assert call("show", name)[0] == call("evaluate", name, "--samples", "0")[0] == call("verify", name)[0] == 0
    code, text = call("sample", name, "--count", "6", "--output", "s.png")
    assert code == (0 if "samples.png" in pictures else 1) and ("no prior" in text) == (code == 1)
    code, text = call("traverse", name, "--output", "t.png")
    assert code == (0 if "traversal.png" in pictures else 1) and ("codes are integers" in text) == (code == 1)
    assert call("report", name, "--output", "r.html", "--count", "50")[0] == 0
    code, text = call("encode", name, "test[:6]", "--json")
    assert code == 0
    answer = json.loads(text)
    assert answer["file"].endswith(".npz" if len(model.latent_spec()) > 1 else ".npy")
    stored = np.load(tmp_path / answer["file"], allow_pickle=False)
    for level in model.latent_spec() if len(model.latent_spec()) > 1 else ():
        assert stored[level].shape == tuple(answer["shape"][level])
    np.save(tmp_path / "x.npy", np.zeros((2, 28, 28, 1)))
    code, text = call("encode", name, "x.npy", "--output", f"z.{answer['file'][-3:]}")
    assert code == int(model.conditional) and ("--labels FILE.npy" in text) == model.conditional


@pytest.mark.slow
@pytest.mark.parametrize("trained", ["SequenceVAE"], indirect=True)
def test_the_commands_take_words_or_say_why_not(trained, tmp_path, monkeypatch, capsys):
    model, _ = trained
    monkeypatch.chdir(tmp_path)

    def call(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([*words])
        printed = capsys.readouterr()
        assert printed.err.count("\n") <= 1 and "Traceback" not in printed.err
        return left.value.code, " ".join((printed.out + printed.err).split())  # tables wrap as paths are long

    name = str(model.provenance.folder)
    assert call("show", name)[0] == call("verify", name)[0] == 0
    code, text = call("evaluate", name, "--samples", "0")
    assert code == 0 and "300 sequences of test[:300]" in text and "sequences reconstructed without an error" in text
    assert call("evaluate", name, "--all", "--samples", "2", "--json")[0] == 0
    assert call("sample", name, "--count", "6", "--output", "s.txt")[0] == 0
    assert (tmp_path / "s.txt").read_text().splitlines() == data.words.to_text(model.sample(6))
    assert call("sample", name, "--count", "6", "--output", "s.npy")[0] == 0
    np.testing.assert_array_equal(np.load("s.npy"), model.sample(6))
    code, text = call("sample", name, "--output", "s.png")
    assert code == 1 and "must end in .txt or .npy" in text
    assert call("encode", name, "s.npy", "--output", "z.npy")[0] == call("encode", name, "test[:9]")[0] == 0
    np.testing.assert_array_equal(np.load("z.npy"), model.encode(model.sample(6)))
    assert call("report", name, "--output", "r.html", "--count", "50")[0] == 0
    assert "The likeliest sequences at codes drawn from the prior" in (tmp_path / "r.html").read_text(encoding="utf-8")
    for command, reason in (("traverse", "A traversal is drawn as images."), ("anomaly", "give --anomalies FILE.")):
        code, text = call(command, name)
        assert code == 1 and f"{reason} Given: {name}, a model of sequences." in text
    code, text = call("anomaly", name, "--anomalies", "s.npy", "--samples", "2", "--count", "40", "--output", "a.png")
    assert code == 0, text


@pytest.mark.parametrize("trained", ["CVAE"], indirect=True)
def test_a_conditional_model_is_sampled_label_by_label(trained, tmp_path):
    model, _ = trained
    for words, labels in ((["--label", "7"], [7] * 4), ([], [0, 2, 5, 7])):
        with pytest.raises(SystemExit):
            main(["sample", str(model.provenance.folder), "--count", "4", "--output", str(tmp_path / "s.npy"), *words])
        np.testing.assert_array_equal(np.load(tmp_path / "s.npy"), model.sample(4, condition=labels))


@pytest.mark.slow
@pytest.mark.parametrize("trained", ["RAE"], indirect=True)
def test_the_density_of_an_rae_is_fitted_to_the_training_images_and_stored(trained):
    """By a hand-made fit to the codes of the same images: float16 keeps three digits."""
    model, _ = trained
    images = examples_of(zoo.card(model.provenance.folder).recipe, "train[:1000]").images
    found = model.encode(images).astype("float64")
    np.testing.assert_allclose(model.density_mean, found.mean(0), rtol=2e-3, atol=1e-2)
    factor = np.asarray(model.density_factor, "float64")
    np.testing.assert_allclose(factor @ factor.T, np.cov(found, rowvar=False, bias=True), rtol=0.02, atol=0.02)


def test_measuring_again_changes_numbers_only(own_run):
    """For entries that were trained before something was measured."""
    from keras_vae.zoo import training

    before = zoo.card(own_run).results
    weights = (own_run / "model.safetensors").read_bytes()
    toy_runs.edit_results(own_run, lambda results: (results["metrics"].pop("squared_error"), results.pop("pictures")))
    again = training.measure_again(own_run)
    after = zoo.card(own_run).results
    assert after == again and {**after, "metrics": {}} == {**before, "metrics": {}}
    for metric, row in before["metrics"].items():
        assert value(after["metrics"], metric) == pytest.approx(row["value"], abs=1e-4), "the same machine"
    assert (own_run / "model.safetensors").read_bytes() == weights
    assert (own_run / "README.md").read_text(encoding="utf-8") == zoo.card(own_run).markdown()
