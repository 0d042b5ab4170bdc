"""Which settings are drawn: all of a grid, once; random ones, to which more are added; Optuna's, again the same."""

import pytest

from keras_vae.sweeps import samplers, studies
from keras_vae.sweeps.samplers import Outcome
from tests import toy_runs
from tests.sweeps import studies_of

RANDOM = 'sampler = "{}"\nconfigurations = {}'


def drawn(study, value=lambda settings: 0.0):
    """All settings of a study, whose outcomes are a function of them."""
    rounds, outcomes, everything = samplers.SAMPLERS[study.options.sampler](study), None, []
    while True:
        try:
            settings = rounds.send(outcomes)
        except StopIteration:
            return everything
        everything += settings
        outcomes = [Outcome("finished", value(one)) for one in settings]


def test_a_grid_has_every_combination_once(tmp_path):
    path = studies_of.write(tmp_path, space="training.batch_size = [50, 100]\n[[space]]\nmodel.latent_dim = [3.0, 4]")
    assert drawn(studies.read(path)) == [
        {"model.latent_dim": 2, "training.batch_size": 50},
        {"model.latent_dim": 2, "training.batch_size": 100},
        {"model.latent_dim": 3, "training.batch_size": 50},
        {"model.latent_dim": 3, "training.batch_size": 100},
        {"model.latent_dim": 4},
    ], "3.0 latents and the recipe's batch are 3 latents and that batch, which the first space has"


def test_a_grid_tells_paths_of_data_apart(tmp_path):
    changes = {"data.name": toy_runs.REMOVED, "data.source": "array", "data.path": "x.npy"}
    study = studies.read(studies_of.write(tmp_path, space='data.path = ["x.npy", "y.npy", "./y.npy"]', changes=changes))
    names = ["x.npy", "y.npy"]
    assert drawn(study) == [{"model.latent_dim": latents, "data.path": name} for latents in (2, 3) for name in names]


def test_random_settings_are_of_their_space_and_more_of_them_begin_with_the_same(tmp_path):
    space = "model.beta = { low = 0.5, high = 8, log = true }\n[[space]]\nmodel.latent_dim = { low = 4, high = 9 }"
    few = drawn(studies.read(studies_of.write(tmp_path, RANDOM.format("random", 5), space)))
    many = drawn(studies.read(studies_of.write(tmp_path, RANDOM.format("random", 200), space)))
    assert many[:5] == few and len(many) == 200
    first = [settings for settings in many if "model.beta" in settings]
    assert 70 < len(first) < 130, "a space is as likely as another"
    assert all(settings["model.latent_dim"] in (2, 3) and 0.5 <= settings["model.beta"] <= 8 for settings in first)
    assert 0.35 < sum(settings["model.beta"] < 2 for settings in first) / len(first) < 0.65
    latents = [settings["model.latent_dim"] for settings in many if settings not in first]
    assert set(latents) == {4, 5, 6, 7, 8, 9}


def test_tpe_comes_to_the_best_values_and_draws_the_same_from_the_same_outcomes(tmp_path):
    pytest.importorskip("optuna")
    space = "training.epochs = { low = 1, high = 100 }\nmodel.beta = { low = 0.01, high = 100, log = true }"

    def value(settings):
        return -abs(settings["training.epochs"] - 50) - settings["model.latent_dim"]

    study = studies.read(studies_of.write(tmp_path, RANDOM.format("tpe", 40) + "\nround = 4", space))
    settings = drawn(study, value)
    assert drawn(study, value) == settings and len(settings) == 40
    early, late = settings[:10], settings[-10:]
    assert sum(map(value, late)) > sum(map(value, early)) + 100
    least = studies.read(studies_of.write(tmp_path, RANDOM.format("tpe", 40) + '\nround = 4\ngoal = "minimize"', space))
    assert drawn(least, lambda one: -value(one)) == settings, "less is better, if the study says so"


def test_tpe_takes_what_is_pruned_and_what_diverged_as_worse(tmp_path):
    pytest.importorskip("optuna")
    study = studies.read(studies_of.write(tmp_path, RANDOM.format("tpe", 30) + "\nround = 2"))
    rounds, outcomes, last = samplers.tpe(study), None, []
    for number in range(15):
        settings = rounds.send(outcomes)
        last += settings if number >= 8 else []
        outcomes = [
            Outcome("finished", 1.0, {1: 0.0}) if one["model.latent_dim"] == 3
            else (Outcome("pruned", None, {1: -1.0}) if number % 2 else Outcome("diverged", None, {1: float("-inf")}))
            for one in settings
        ]  # fmt: skip
    assert sum(one["model.latent_dim"] == 3 for one in last) > 0.7 * len(last)
