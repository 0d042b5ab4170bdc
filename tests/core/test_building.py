"""Constructor arguments: networks of one's own, numpy scalars, and arguments that a class does not take."""

import copy
import inspect

import keras
import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.likelihoods import Normal
from keras_vae.models import AE, VAE, VQVAE, BetaTCVAE, BetaVAE, HypersphericalVAE
from keras_vae.schedules import schedule
from tests import toys


def two_outputs(latent_dim=toys.LATENT):
    """An encoder as Keras examples write it: a functional model that returns [mean, log_var]."""
    x = keras.Input(toys.SHAPE)
    hidden = keras.layers.Dense(8, activation="tanh")(keras.layers.Flatten()(x))
    return keras.Model(x, [keras.layers.Dense(latent_dim, name=name)(hidden) for name in ("mean", "log_var")])


def test_an_encoder_may_return_mean_and_log_var():
    encoder = two_outputs()
    model = toys.compiled(VAE, encoder=encoder)
    x = toys.binary(64)
    history = model.fit(x, epochs=1, batch_size=32, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    codes = model.encode(x)
    assert codes.shape == (64, toys.LATENT)
    mean, log_var = encoder(x)
    np.testing.assert_allclose(codes, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.posterior(x).stddev(), np.exp(np.asarray(log_var) / 2), rtol=1e-3)


def test_an_encoder_of_another_size_is_refused_with_the_shape_of_both_outputs():
    with pytest.raises(UserError, match=r"The encoder must map .* to \(batch, 4\) .* of shape \(batch, 6\)"):
        toys.toy(VAE, encoder=two_outputs(latent_dim=3))


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (VAE, {"latent_dims": 3}, r"^VAE has no argument 'latent_dims'\. Did you mean 'latent_dim'"),
        (BetaVAE, {"bta": 2}, r"^BetaVAE has no argument 'bta'\. Did you mean 'beta'"),
        (
            VQVAE,
            {"latent_dim": 8},
            r"^VQVAE does not take latent_dim\. .*code_shape.*embedding_dim.*: latent_dim=8",
        ),
    ],
)
def test_arguments_that_a_class_does_not_take(cls, arguments, message):
    with pytest.raises(UserError, match=message):
        cls(**arguments)


def test_the_arguments_listed_are_those_that_a_class_takes():
    with pytest.raises(UserError, match="Its arguments: ") as caught:
        VQVAE(colour=1)
    listed = str(caught.value).split("Its arguments: ")[1].rstrip(".").split(", ")
    assert "embedding_dim" in listed and not {"latent_dim", "beta", "free_bits"} & set(listed)


def test_numpy_scalars_are_numbers():
    model = toys.toy(VAE, latent_dim=np.int64(2), beta=np.float32(0.5), free_bits=np.float32(0.25))
    assert model.latent_dim == 2 and model.beta.value == 0.5
    assert toys.toy(VAE, encoder=toys.mlp(hidden=(np.int64(8),))).encode(toys.binary(1)).shape == (1, 2)
    sphere = toys.toy(HypersphericalVAE, latent_dim=3, maximum_concentration=np.float32(100))
    assert sphere.maximum_concentration == 100
    gaussian = toys.toy(VAE, likelihood={"name": "gaussian", "scale": np.float32(0.5)})
    assert gaussian.likelihood_family.scale == 0.5
    for wrong in (np.True_, True):
        with pytest.raises(UserError, match="beta must be a number"):
            toys.toy(VAE, beta=wrong)


@pytest.mark.parametrize(
    ("cls", "name", "value", "remedy"),
    [
        (VAE, "beta", 5.0, r"beta=\{\"name\": \"linear\""),
        (BetaVAE, "beta", schedule(5.0), r"beta=\{\"name\": \"linear\""),
        (BetaTCVAE, "gamma", 2.0, r"gamma=\{\"name\": \"linear\""),
        (VAE, "free_bits", 0.5, "Make a new model"),
        (VAE, "active_dims", 1, "Make a new model"),
        (VAE, "seed", 1, "Make a new model"),
        (AE, "beta", 2.0, "does not take it"),
    ],
)
def test_an_argument_that_is_set_on_a_model_is_refused(cls, name, value, remedy):
    model = toys.toy(cls, **({"dataset_size": 96} if cls is BetaTCVAE else {}))
    before = getattr(model, name)
    with pytest.raises(UserError, match=rf"fixed when it is made.*Given: {name} = .*{remedy}"):
        setattr(model, name, value)
    assert getattr(model, name) is before


def test_the_remedy_for_an_argument_that_is_set_gives_the_same_model_with_another_one():
    model = toys.compiled(VAE)
    model.fit(toys.binary(32), batch_size=16, verbose=0)
    new = type(model).from_config({**model.get_config(), "beta": 5.0})
    new.set_weights(model.get_weights())
    assert toys.same(toys.weights(model), toys.weights(new)) and new.beta == schedule(5.0)
    toys.toy(VAE, beta={"name": "linear", "final": 1.0, "steps": 10000})


class Warmed(VAE):
    """A variant with an argument, which sets the weight of the KL itself."""

    def __init__(self, final=2.0, warming=(), **kwargs):
        super().__init__(**kwargs)
        self.final = final
        self.beta = schedule({"name": "linear", "final": final, "steps": 4})
        self._warming = warming

    @property
    def warming(self):
        return self._warming

    @warming.setter
    def warming(self, value):
        self._warming = value


class WarmedTwice(Warmed):
    def __init__(self, *arguments, **kwargs):
        super().__init__(*arguments, **kwargs)
        self.final = 2 * self.final
        self.beta = schedule(self.final)


def test_a_constructor_of_ones_own_sets_what_it_likes():
    model = toys.compiled(Warmed, final=4.0)
    history = model.fit(toys.binary(32), batch_size=16, epochs=2, verbose=0).history
    assert history["beta"] == [0.5, 2.5]  # the means of 0, 1 and of 2, 3
    model.warming, model.colour = (1,), "red"  # a property, and no argument
    assert model.warming == (1,)
    with pytest.raises(UserError, match=r"Given: final = 1\.0, set on a Warmed"):
        model.final = 1.0
    assert toys.toy(WarmedTwice, final=3.0).beta == schedule(6.0)
    assert list(inspect.signature(Warmed).parameters) == ["final", "warming", "kwargs"]


def test_a_network_may_be_replaced_and_nothing_else_takes_its_name():
    model = toys.toy(VAE)
    other = toys.toy(VAE, seed=1).encoder
    model.encoder = other
    assert model.encoder is other
    with pytest.raises(UserError, match="Given: encoder = 'mlp'"):
        model.encoder = "mlp"


def frozen_encoder(model):
    model.encoder.trainable = False


def frozen_layer(model):
    model.encoder.trainable = False
    model.decoder.stack.layers[1].trainable = False


def frozen_whole(model):
    model.trainable = False


@pytest.mark.parametrize(
    ("freeze", "variables", "paths"),
    [
        (frozen_encoder, 4, ["encoder"]),
        (frozen_layer, 2, ["decoder/stack/layers/2", "encoder"]),
        (frozen_whole, 0, [""]),
    ],
)
def test_what_is_frozen_stays_frozen_in_a_copy(freeze, variables, paths, tmp_path):
    model = toys.toy(VAE)
    before = model.get_config()
    assert "frozen" not in before
    freeze(model)
    assert model.get_config() == {**before, "frozen": model.get_config()["frozen"]}
    assert sorted(model.get_config()["frozen"]) == paths
    model.save(tmp_path / "f.keras")
    copies = [keras.models.load_model(tmp_path / "f.keras"), copy.deepcopy(model), keras.models.clone_model(model)]
    for other in copies:
        assert len(other.trainable_variables) == len(model.trainable_variables) == variables
        assert sorted(other.get_config()["frozen"]) == paths
        assert other.encoder.stack.layers[1].trainable == model.encoder.stack.layers[1].trainable


def test_training_goes_on_from_a_file_of_a_model_that_is_partly_frozen(tmp_path):
    model, x = toys.toy(VAE), toys.binary(64)
    model.encoder.trainable = False
    model.compile("adam", **toys.PLAIN)
    model.fit(x, batch_size=16, verbose=0)
    model.save(tmp_path / "f.keras")
    loaded = keras.models.load_model(tmp_path / "f.keras")
    for each in (model, loaded):
        each.fit(x, batch_size=16, verbose=0)
    assert toys.same(toys.weights(model), toys.weights(loaded))
    assert toys.same(model.optimizer.variables, loaded.optimizer.variables)
    assert int(loaded.optimizer.iterations) == 8


def test_what_arguments_froze_is_no_further_part_of_a_configuration():
    backbone = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2 * toys.LATENT)])
    backbone.trainable = False
    model = toys.toy(VAE, encoder=backbone)
    assert "frozen" not in model.get_config() and len(model.trainable_variables) == 4
    assert len(VAE.from_config(model.get_config()).trainable_variables) == 4
    assert "frozen" not in toys.toy(VAE, encoder={"name": "mlp", "trainable": False}).get_config()
    with pytest.raises(UserError, match="Given: 'critic', which this VAE does not have"):
        VAE.from_config({**toys.toy(VAE).get_config(), "frozen": ["critic"]})


@pytest.mark.parametrize("arguments", [{"standardize": True}, {"scale": "global"}])
def test_a_likelihood_that_learns_is_of_one_model(arguments):
    """A second model would change the deviation, or the standardisation, of the first."""

    def model(likelihood):
        return toys.toy(VAE, x_shape=(3,), likelihood=likelihood)

    shared = Normal(**arguments)
    model(shared)
    with pytest.raises(UserError, match=r"learns from the data of one model.*from_config"):
        model(shared)
    model(type(shared).from_config(shared.get_config()))
    without = Normal(scale=1.0)
    for _ in range(2):
        model(without)
