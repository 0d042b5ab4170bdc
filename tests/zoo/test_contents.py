"""results.json is held to its types: of the whole zoo they are right, and a wrong one is named."""

import json

import pytest

from keras_vae import zoo
from keras_vae.errors import CorruptFileError
from keras_vae.zoo import contents, store


@pytest.mark.parametrize("name", zoo.names())
def test_the_results_of_the_zoo(name):
    assert contents.fault_of(json.loads((store.root() / name / "results.json").read_text())) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda one: one["metrics"]["elbo"].update(value="12"),
            "it.metrics.elbo.value is not a finite number, but '12'",
        ),
        (lambda one: one["training"].update(seconds=None), "it.training.seconds is not a finite number"),
        (lambda one: one["machine"].pop("cores"), "it.machine has no 'cores'"),
        (
            lambda one: one.update(overview={"generation": {"columns": {"rmse": {"value": 1.0, "parts": [None]}}}}),
            "it.overview.generation.columns.rmse.parts",
        ),
        (lambda one: one.update(overview={"latent": {"mig": {"value": []}}}), "it.overview.latent.mig.value is not"),
    ],
)
def test_a_value_of_another_type_is_named(change, said, own_run):
    """Every digest fits."""
    results = json.loads((own_run / "results.json").read_text())
    change(results)
    store.write_results(store.entry(own_run), results)
    with pytest.raises(CorruptFileError, match=r"results\.json is not the JSON that training wrote: ") as error:
        zoo.card(own_run)
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}", "\ufeff{", ""])
def test_what_json_refuses_in_its_own_words(text, own_run):
    (own_run / "results.json").write_text(text)
    with pytest.raises(CorruptFileError, match=r"results\.json is not the JSON that training wrote: .*To repair it"):
        zoo.card(own_run)
