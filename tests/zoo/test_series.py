"""Series from a file to a bundle, by the command line alone: drafted, trained, measured, exported."""

import json

import numpy as np
import onnxruntime
import pytest

from keras_vae import tasks, zoo
from keras_vae.models import VAE
from keras_vae.zoo import pictures as pictures_of
from keras_vae.zoo import recipes
from keras_vae.zoo.examples import Examples, examples_of
from tests.tasks.test_steps import STEPS, waves


@pytest.fixture(scope="module")
def project(tmp_path_factory, call):
    """A folder with series, two channels of which are of very different units, a recipe, and its run."""
    folder = tmp_path_factory.mktemp("project")
    x = waves(300)[0] * [1, 100] + [0, 1e4]
    np.savez(folder / "waves.npz", x=x.astype("float32"), label=np.arange(300) % 2)
    call("new", folder / "waves.toml", "--data", folder / "waves.npz")
    text = (folder / "waves.toml").read_text()
    assert "epochs = 200" in text
    (folder / "waves.toml").write_text(text.replace("epochs = 200", "epochs = 1"))
    call("train", folder / "waves.toml", "--output", folder / "run", "--quick", "--json")
    return folder


def test_the_draft_is_of_series(project):
    model = recipes.read(project / "waves.toml").model.arguments
    assert model["x_shape"] == [STEPS, 2] and model["missing"] == "mask"
    assert model["encoder"]["name"] == model["decoder"]["name"] == "causal"
    assert model["likelihood"] == {"name": "normal", "scale": "channel", "standardize": "channel"}


def test_the_card_shows_reconstructions_and_forecasts(project):
    card = zoo.card(project / "run")
    assert card.results["pictures"] == ["series.png", "forecast.png", "curves.png"]
    assert "(forecast.png)" in card.markdown() and (project / "run" / "forecast.png").is_file()


@pytest.mark.parametrize(("library", "pictures"), [(None, ["series.png"]), ("observed", [])])
def test_series_of_counts_are_drawn_beside_means_of_their_own_totals_only(tmp_path, library, pictures):
    network, recipe = {"name": "mlp", "hidden": (4,)}, recipes.read(zoo.store.root() / "vae_waves" / "recipe.toml")
    family = {"name": "poisson", "standardize": "channel", "library": library}
    model = VAE(x_shape=(6, 2), latent_dim=2, encoder=network, decoder=network, likelihood=family, seed=0)
    x = np.random.default_rng(0).poisson(30.0, (9, 6, 2)).astype("float32")
    assert pictures_of.write(tmp_path, model, recipe, {}, examples=Examples(x, None)) == pictures
    assert sorted(path.name for path in tmp_path.iterdir()) == pictures


def test_a_run_standardises_the_channels_of_its_training_series(project):
    x = examples_of(zoo.card(project / "run").recipe, "train").images.astype("float64")
    assert np.isnan(x).any()
    family = zoo.load(project / "run").likelihood_family.family
    np.testing.assert_allclose(family.shift.numpy(), np.nanmean(x, axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(family.spread.numpy(), np.nanstd(x, axis=(0, 1)), rtol=1e-5)


def test_a_command_scores_the_steps_of_a_file(project, call, capsys, tmp_path):
    x = np.load(project / "waves.npz")["x"][:20]
    x[3, 4, 0] += 60.0
    np.save(tmp_path / "odd.npy", x)
    capsys.readouterr()
    call("steps", project / "run", tmp_path / "odd.npy", "--output", tmp_path / "s.npy", "--samples", 2, "--json")
    answer, scores = json.loads(capsys.readouterr().out), np.load(tmp_path / "s.npy")
    assert scores.shape == tuple(answer["shape"]) == (20, STEPS)
    assert (np.isnan(scores) == np.isnan(x).all(axis=2)).all()
    assert [answer["highest"][0][key] for key in ("row", "step")] == [3, 4] and len(answer["highest"]) == 10
    call("steps", project / "run", "test[:5]", "--output", tmp_path / "s.npy", "--samples", 2, "--highest", 1)
    assert "step" in capsys.readouterr().out and len(np.load(tmp_path / "s.npy")) == 5


@pytest.mark.slow
def test_commands_measure_and_report_series(project, call, capsys, tmp_path):
    capsys.readouterr()
    call("evaluate", project / "run", "--samples", "2", "--json")
    assert np.isfinite(json.loads(capsys.readouterr().out)["metrics"]["elbo"]["value"])
    call("report", project / "run", "--output", tmp_path / "r.html", "--count", "10")
    np.save(tmp_path / "odd.npy", np.load(project / "waves.npz")["x"][:20, ::-1])
    call(
        "anomaly",
        project / "run",
        "--anomalies",
        tmp_path / "odd.npy",
        "--score",
        "all",
        "--output",
        tmp_path / "a.png",
    )
    call("encode", project / "run", project / "waves.npz", "--output", tmp_path / "z.npy")
    assert len(np.load(tmp_path / "z.npy")) == 300


@pytest.mark.slow
def test_a_deployed_encoder_takes_series_of_every_length(project, call, tmp_path):
    call("export", project / "run", tmp_path / "bundle", "--format", "onnx")
    call("check", tmp_path / "bundle", "--json")
    x = np.load(project / "waves.npz")["x"][:30]
    session = onnxruntime.InferenceSession(tmp_path / "bundle/encoder.onnx", providers=["CPUExecutionProvider"])
    (mean,) = session.run(["mean"], {"x": x})
    model = zoo.load(project / "run")
    np.testing.assert_allclose(mean, model.encode(x), atol=1e-4)
    assert tasks.step_scores(model, x, samples=2).shape == (30, STEPS)
