"""An `Evaluation` checks, encodes and reconstructs once, whatever is asked of it."""

import json
from collections import Counter
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae.evaluation import Evaluation, evaluate, kl_by_group
from keras_vae.evaluation.latent import kl_names
from keras_vae.evaluation.metrics import METRICS, SECTIONS, run, select
from keras_vae.models import CVAE, VAE, VQVAE, HierarchicalVAE, SemiSupervisedVAE
from keras_vae.priors.base import codes_of
from keras_vae.types import Spec
from tests.toys import SHAPE, binary, mlp, toy

X, LABELS = binary(60), (np.arange(60) % 2).astype("int32")
FACTORS = np.stack([LABELS, np.arange(60) // 2 % 3], axis=1)
# Annealing takes a minute; it is given the importance weights and the images of the evaluation like the rest.
FAST = [name for name in METRICS if name != "likelihood.agreement"]


class Counted:
    """A function of a model, and how many examples it was called with."""

    def __init__(self, function: Any) -> None:
        self.function, self.examples = function, 0

    def __call__(self, first: Any, *others: Any, **named: Any) -> Any:
        self.examples += len(first["x"]) if isinstance(first, dict) else len(first)
        return self.function(first, *others, **named)


@pytest.fixture
def counted():
    """A model that counts the examples that are checked, encoded, run through the terms, and weighted."""
    model = toy()
    model.check_x = Counted(model.check_x)
    for name in ("posterior_parameters", "elbo_terms", "own_terms"):
        setattr(model.functions, name, Counted(getattr(model.functions, name)))
    under = model.functions.under(None)
    under.sums_of_weights = Counted(under.sums_of_weights)
    return model


def test_everything_checks_and_encodes_each_image_once(counted):
    train = binary(70, seed=1)
    results = evaluate(counted, X, LABELS, FACTORS, metrics=FAST, train=train, train_labels=np.arange(70) % 2,
                       samples=3, repetitions=2)  # fmt: skip
    assert set(results) == {"examples", "seed", "without", "summary", *SECTIONS}
    assert counted.check_x.examples == 60 + 70, "the images, and the training images that probes are fitted to"
    assert counted.functions.posterior_parameters.examples == 60 + 70
    assert counted.functions.elbo_terms.examples == 60
    assert counted.functions.under(None).sums_of_weights.examples == 60
    json.dumps(results, allow_nan=False)


def test_the_first_examples_keep_what_is_computed_of_all(counted):
    evaluation = Evaluation(counted, X, LABELS, seed=3, samples=5)
    whole = {name: np.asarray(getattr(evaluation, name)) for name in ("codes", "draws", "reconstructions")}
    weights = evaluation.importance_weights(5)["log_prob"]
    calls = Counter({name: value.examples for name, value in vars(counted.functions).items()
                     if isinstance(value, Counted)})  # fmt: skip
    part, alone = evaluation.first(9), Evaluation(toy(), X[:9], LABELS[:9], seed=3, samples=5)
    assert len(part) == 9 and part.labels.tolist() == LABELS[:9].tolist()
    for name, values in whole.items():
        np.testing.assert_array_equal(getattr(part, name), values[:9])
        np.testing.assert_allclose(getattr(part, name), getattr(alone, name), rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(part.importance_weights(5)["log_prob"], weights[:9])
    np.testing.assert_allclose(weights[:9], alone.importance_weights(5)["log_prob"], rtol=1e-6)
    assert calls == {name: value.examples for name, value in vars(counted.functions).items()
                     if isinstance(value, Counted)}  # fmt: skip


@pytest.mark.parametrize(
    "make",
    [
        lambda: toy(),
        lambda: toy(CVAE, num_classes=2),
        lambda: toy(SemiSupervisedVAE, num_classes=2),
        lambda: HierarchicalVAE((3, 2), hidden=6, image_shape=SHAPE, encoder=mlp(), decoder=mlp()),
        lambda: VQVAE((3,), 5, 2, image_shape=SHAPE, encoder=mlp(), decoder=mlp()),
    ],
    ids=["VAE", "CVAE", "SemiSupervisedVAE", "HierarchicalVAE", "VQVAE"],
)
def test_codes_draws_and_reconstructions_are_those_of_the_model(make):
    model = make()
    condition = LABELS if model.conditional else None
    evaluation = Evaluation(model, X, LABELS, seed=4)
    keras.tree.map_structure(np.testing.assert_array_equal, evaluation.codes, model.encode(X, condition))
    np.testing.assert_array_equal(evaluation.reconstructions, model.reconstruct(X, condition))
    draws = codes_of(model, X, condition, 4)
    levels = [np.reshape(level, (60, -1)) for level in (draws.values() if isinstance(draws, dict) else [draws])]
    np.testing.assert_array_equal(evaluation.draws, np.concatenate(levels, axis=1))
    assert repr(evaluation) == f"Evaluation of {type(model).__name__} on 60 examples"


def test_the_model_stands_in_for_missing_labels():
    model, labels = toy(SemiSupervisedVAE, num_classes=2), np.where(np.arange(60) < 5, -1, LABELS)
    evaluation = Evaluation(model, X, condition=labels)
    np.testing.assert_array_equal(evaluation.reconstructions, model.reconstruct(X, labels))


class Styled(VAE):
    """A model with two named conditions, of which its decoder sees the sum."""

    conditional = True

    def network_shapes(self):
        shapes = super().network_shapes()
        return shapes | {"decoder": ((self.latent_dim + 1,), shapes["decoder"][1])}

    def condition_spec(self):
        return {"category": Spec((), "int32", "label", 2), "style": Spec((2,), "float32", "vector")}

    def check_condition(self, condition, count):
        assert isinstance(condition, dict) and set(condition) == {"category", "style"}
        return {name: np.asarray(condition[name], spec.dtype) for name, spec in self.condition_spec().items()}

    def likelihood_parameters(self, z, condition=None, training=False):
        assert isinstance(condition, dict)
        total = ops.cast(condition["category"], "float32") + ops.sum(condition["style"], axis=-1)
        return super().likelihood_parameters(ops.concatenate([z, total[:, None]], axis=-1), condition, training)


def test_several_named_conditions():
    style = np.random.default_rng(0).normal(size=(60, 2)).astype("float32")
    condition = {"category": LABELS, "style": style}
    model = toy(Styled)
    metrics = ("summary", "likelihood.nats", "likelihood.bits_per_dim", "latent", "generation", "representation")
    results = evaluate(model, X, LABELS, condition=condition, metrics=metrics, samples=2, repetitions=2)
    elbo = model.elbo(X, condition=condition).mean(dtype="float64")
    assert results["likelihood"]["nats"]["elbo"]["value"] == pytest.approx(elbo, rel=1e-6)
    errors = np.square(model.reconstruct(X, condition).astype("float64") - X).sum((1, 2, 3))
    assert results["summary"]["squared_error"]["value"] == pytest.approx(errors.mean(), rel=1e-6)
    other = {**condition, "style": style + 1}
    assert abs(model.elbo(X, condition=other).mean(dtype="float64") - elbo) > 1e-3, "the style matters"
    first = Evaluation(model, X, condition=condition).first(7)
    np.testing.assert_array_equal(first.condition["style"], style[:7])


# --- Names ---


def test_the_label_of_a_semi_supervised_model_is_no_dimension():
    model = toy(SemiSupervisedVAE, num_classes=2)
    assert list(kl_by_group(model, X, LABELS)) == ["z0", "z1", "label"]
    terms = run(Evaluation(model, X, LABELS), ("summary.terms",))["summary"]["terms"]
    assert terms["kl"]["names"] == ["z0", "z1", "label"] and len(terms["kl"]["parts"]) == 3


def test_names_of_levels_and_totals():
    ladder = HierarchicalVAE((3, 2), hidden=6, image_shape=SHAPE, encoder=mlp(), decoder=mlp())
    assert kl_names(ladder, 2) == ["z1", "z2"]
    assert kl_names(toy(), 2) == ["z0", "z1"] and kl_names(toy(), 1) == ["total"]
    assert kl_names(toy(latent_dim=1), 1) == ["z0"]
    collapsed = evaluate(ladder, X, metrics=("latent.collapse",))["latent"]["collapse"]
    assert collapsed["names"] == [["z1[0]", "z1[1]", "z1[2]", "z2[0]", "z2[1]"][i] for i in collapsed["dimensions"]]


def test_selected_metrics_keep_their_order_and_come_once():
    assert select(("latent.collapse", "latent"))[0] == "latent.collapse"
    assert len(select(("latent.collapse", "latent"))) == len(select(("latent",)))
    assert {name.split(".")[0] for name in METRICS} == {"summary", *SECTIONS}
