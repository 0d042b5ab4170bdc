"""What people call on a model: numpy in, numpy out, the same whatever the number of examples."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae import checks
from keras_vae.checks import BLOCK
from keras_vae.errors import UserError
from keras_vae.models import FSQVAE, VQVAE
from tests.toys import LATENT, SHAPE, binary, compiled, grey, mlp, toy

X = binary(2 * BLOCK + 30)
GREY = grey(20)


@pytest.fixture(scope="module")
def model():
    return toy()


@pytest.fixture(scope="module")
def gaussian():
    return toy(likelihood={"name": "gaussian", "scale": "pixel"})


def test_encode_is_the_posteriors_mean_and_decode_the_likelihoods(model, gaussian):
    for each, x in ((model, X[:20]), (gaussian, GREY)):
        codes = each.encode(x)
        assert isinstance(codes, np.ndarray) and codes.shape == (20, LATENT) and codes.dtype == "float32"
        np.testing.assert_allclose(codes, each.posterior(x).mean(), rtol=1e-5, atol=1e-6)
        images = each.decode(codes)
        assert isinstance(images, np.ndarray) and images.shape == (20, *SHAPE)
        np.testing.assert_allclose(images, each.likelihood(tf.constant(codes)).mean(), rtol=1e-5, atol=1e-6)
        assert images.min() >= 0 and images.max() <= 1
        np.testing.assert_array_equal(each.reconstruct(x), images)


def test_the_prior_is_standard_normal(model):
    prior = model.prior()
    assert prior.event_shape == (LATENT,) and prior.batch_shape == ()
    assert float(prior.log_prob(tf.zeros(LATENT))) == pytest.approx(-LATENT / 2 * np.log(2 * np.pi), rel=1e-6)


def test_distributions_have_one_batch_axis(model):
    assert model.posterior(X[:5]).batch_shape == (5,) and model.posterior(X[:5]).event_shape == (LATENT,)
    likelihood = model.likelihood(tf.zeros((5, LATENT)))
    assert likelihood.batch_shape == (5,) and likelihood.event_shape == SHAPE


def test_samples_are_decoded_prior_draws(model):
    images = model.sample(16, seed=3)
    assert images.shape == (16, *SHAPE)
    np.testing.assert_array_equal(images, model.sample(16, seed=3))
    assert not np.array_equal(images, model.sample(16, seed=4))
    assert len(np.unique(images.reshape(16, -1), axis=0)) == 16
    assert model.sample(0).shape == (0, *SHAPE)


def test_samples_that_memory_cannot_hold_are_refused(model, monkeypatch):
    """A code and an image each, 4 bytes a number: blocks are joined in place."""
    size = 4 * (LATENT + int(np.prod(SHAPE)))
    monkeypatch.setattr(checks, "free_memory", lambda: 20 * size)
    assert len(model.sample(20)) == 20
    with pytest.raises(UserError, match=r"fit in memory, of which .* free. Given: count=21, .* GB. Take 20 or fewer"):
        model.sample(21)


def test_prior_samples_have_the_priors_mean_image(model):
    """Mean of 4,000 samples against that of 4,000 codes drawn by numpy, within 5 standard errors of the difference."""
    drawn = model.sample(4_000, seed=1)
    independent = model.decode(np.random.default_rng(0).normal(size=(4_000, LATENT)))
    error = np.sqrt((drawn.var(0) + independent.var(0)) / 4_000)
    assert (np.abs(drawn.mean(0) - independent.mean(0)) < 5 * error).all()


@pytest.mark.parametrize("count", [1, 7, BLOCK, BLOCK + 1])
def test_an_examples_elbo_does_not_depend_on_how_many_are_asked_for(model, count):
    whole = model.elbo(X, seed=2)
    assert whole.shape == (len(X),)
    np.testing.assert_allclose(model.elbo(X[:count], seed=2), whole[:count], rtol=0, atol=1e-5)
    assert not np.array_equal(whole, model.elbo(X, seed=3))


def test_equal_images_get_noise_of_their_own(model):
    same = np.repeat(X[:1], 2 * BLOCK, axis=0)
    assert len(np.unique(model.elbo(same))) > BLOCK, "within a block and between blocks"


def test_log_prob_of_an_example_does_not_depend_on_how_many_are_asked_for(model):
    whole = model.log_prob(X[: BLOCK + 3], samples=8)
    for count in (1, 9, BLOCK + 1):
        np.testing.assert_allclose(model.log_prob(X[:count], samples=8), whole[:count], rtol=0, atol=1e-5)


@pytest.mark.parametrize("count", [1, 5, BLOCK + 3])
def test_as_many_codes_are_decoded_as_are_asked_for(count):
    """No row is computed to fill up a block: of 40 draws in chunks of 20, and of the one of an ELBO."""
    model = toy()
    rows, call = tf.Variable(0), model.decoder.call

    def counting(z, *arguments, **named):
        rows.assign_add(tf.shape(z)[0])
        return call(z, *arguments, **named)

    model.decoder.call = counting
    model.elbo(X[:count])
    assert int(rows) == count
    rows.assign(0)
    model.log_prob(X[:count], samples=40)
    assert int(rows) == 40 * count


def test_one_sample_of_log_prob_has_the_mean_of_the_elbo(model):
    """E[log w] = ELBO: 500 copies of one image; means within 5 standard errors of the difference."""
    copies = np.repeat(X[:1], 500, axis=0)
    one, elbo = model.log_prob(copies, samples=1), model.elbo(copies)
    error = np.sqrt((one.var() + elbo.var()) / 500)
    assert abs(one.mean() - elbo.mean()) < 5 * error


def test_log_prob_is_log_of_the_mean_weight(model):
    """Against weights from `log_weights` with another seed: the mean weight within 5 standard errors."""
    x = X[:3]
    estimate = np.exp(model.log_prob(x, samples=3_000, seed=1))
    weights = np.exp(np.asarray(model.log_weights(x, 3_000, seed=2), "float64"))
    assert (np.abs(estimate - weights.mean(0)) < 5 * np.sqrt(2) * weights.std(0) / np.sqrt(3_000)).all()


def test_log_prob_is_the_sum_over_codes_of_a_tiny_model():
    """One latent dimension, integrated on a grid to 1e-6: the estimate within 5 standard errors of exact."""
    model = toy(latent_dim=1, image_shape=(2, 2, 1))
    x = binary(4, (2, 2, 1))
    grid = np.linspace(-8, 8, 801)
    log_p = np.log(np.clip(model.decode(grid[:, None]).astype("float64"), 1e-12, 1))
    log_q = np.log1p(-np.exp(log_p))
    log_px = np.einsum("ghwc,bhwc->bg", log_p, x) + np.einsum("ghwc,bhwc->bg", log_q, 1 - x)
    prior = np.exp(-0.5 * grid**2) / np.sqrt(2 * np.pi)
    exact = np.trapezoid(np.exp(log_px) * prior, grid, axis=1)
    weights = np.exp(np.asarray(model.log_weights(x, 5_000, seed=4), "float64"))
    estimate = np.exp(model.log_prob(x, samples=5_000))
    assert (np.abs(estimate - exact) < 5 * weights.std(0) / np.sqrt(5_000)).all()
    assert (model.elbo(np.repeat(x, 100, axis=0)).reshape(4, 100).mean(1) < np.log(exact)).all(), "a lower bound"


@pytest.mark.parametrize("kind", [VQVAE, FSQVAE])
def test_integer_codes_are_reconstructed_in_batches_of_any_size(kind):
    arguments = {"code_shape": (2,), **({"entries": 4, "embedding_dim": 2} if kind is VQVAE else {"levels": (2, 2)})}
    discrete = toy(kind, latent_dim=None, **arguments)
    for count in (3, 5, 7):  # from the second size on, the graph's batch is open
        np.testing.assert_allclose(
            discrete.reconstruct(X[:count]), discrete.decode(discrete.encode(X[:count])), atol=1e-6
        )


def test_none_and_one(model):
    for method, shape in (("encode", (LATENT,)), ("reconstruct", SHAPE), ("elbo", ())):
        assert getattr(model, method)(X[:0]).shape == (0, *shape)
        assert getattr(model, method)(X[:1]).shape == (1, *shape)
    assert model.decode(np.zeros((0, LATENT))).shape == (0, *SHAPE)
    assert model.log_prob(X[:0], samples=2).shape == (0,)


def test_inputs_of_other_number_types(model):
    expected = model.encode(X[:5])
    for given in (
        X[:5].astype("float64"),
        X[:5].astype(bool),
        X[:5].astype("uint8"),
        tf.constant(X[:5]),
        X[:5].tolist(),
    ):
        np.testing.assert_array_equal(model.encode(given), expected)


def test_grey_is_encoded_but_has_no_nats_under_a_bernoulli(model, gaussian):
    assert model.encode(GREY).shape == (20, LATENT) and model.reconstruct(GREY).shape == GREY.shape
    assert model.predict(GREY, verbose=0).shape == GREY.shape
    for method in (model.elbo, model.log_prob):
        with pytest.raises(UserError, match=r"pixels that are 0 or 1\. Given: grey levels, such as"):
            method(GREY)
    assert np.isfinite(gaussian.elbo(GREY)).all()


def spoiled(value):
    x = X[:3].copy()
    x[1, 0, 0, 0] = value
    return x


@pytest.mark.parametrize("method", ["encode", "reconstruct", "elbo", "log_prob", "predict"])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X[0], r"Add the batch axis"),
        (X[..., 0], r"Add the channel axis"),
        (X[:, :2], r"x must have shape \(batch, 4, 4, 1\)"),
        (X[:3].astype(str), r"must be an array of floats"),
        (spoiled(np.nan), r"x must be finite"),
        (spoiled(-np.inf), r"x must be finite"),
        (X[:3] * 255, r"divide by 255"),
        (None, r"must be an array"),
    ],
)
def test_images_that_are_refused(model, method, x, message):
    with pytest.raises(UserError, match=message):
        getattr(model, method)(x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.decode(np.zeros((3, LATENT + 1))), r"z must have shape \(batch, 2\), the model's latent size"),
        (lambda m: m.decode(np.zeros(LATENT)), r"Add the batch axis: z\[None\]"),
        (lambda m: m.decode([[np.nan, 0.0]]), r"z must be finite"),
        (lambda m: m.decode([["a", "b"]]), r"z must be an array of floats"),
        (lambda m: m.sample(-1), r"count must be a whole number, 0 or more\. Given: -1"),
        (lambda m: m.sample(2.5), r"count must be a whole number"),
        (lambda m: m.sample(2, seed=-1), r"seed must be a whole number, 0 or more\. Given: -1"),
        (lambda m: m.sample(2, seed=None), r"seed must be a whole number"),
        (lambda m: m.elbo(X[:2], seed=1.5), r"seed must be a whole number"),
        (lambda m: m.elbo(X[:2], seed=2**31), r"seed must be a whole number, at most 2147483647"),
        (lambda m: m.log_prob(X[:2], samples=0), r"samples must be a whole number, 1 or more\. Given: 0"),
        (lambda m: m.log_prob(X[:2], seed="a"), r"seed must be a whole number"),
        (lambda m: m.encode(X[:2], condition=[0, 1]), r"VAE takes no condition\. Given: condition=\[0, 1\]\. Leave it"),
    ],
)
def test_arguments_that_are_refused(model, call, message):
    with pytest.raises(UserError, match=message):
        call(model)


def test_predict_is_reconstruct(model):
    np.testing.assert_allclose(model.predict(X, verbose=0), model.reconstruct(X), rtol=1e-5, atol=1e-6)
    dataset = tf.data.Dataset.from_tensor_slices(X).batch(50)
    np.testing.assert_allclose(model.predict(dataset, verbose=0), model.reconstruct(X), rtol=1e-5, atol=1e-6)


def test_graphs_see_weights_that_changed():
    """The compiled functions read variables; they hold no copies."""
    model = compiled(decoder=mlp(hidden=()))
    before = model.encode(X[:4]), model.decode(np.zeros((1, LATENT))), model.elbo(X[:4])
    model.fit(X, batch_size=64, verbose=0)
    after = model.encode(X[:4]), model.decode(np.zeros((1, LATENT))), model.elbo(X[:4])
    assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def with_lora(model):
    for dense in (model.encoder.layers[-2], model.decoder.layers[-2]):
        dense.enable_lora(2)
        dense.lora_kernel_b.assign(np.ones(dense.lora_kernel_b.shape))


def with_other_networks(model):
    other = toy(seed=1)
    model.encoder, model.decoder = other.encoder, other.decoder


def in_half_precision(model):
    for layer in (*model.encoder.layers, *model.decoder.layers):
        layer.dtype_policy = "mixed_bfloat16"


def dense_layers(*shape):
    """A network as one's own, whose layers Keras can change."""
    dense = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(int(np.prod(shape)))]
    return keras.Sequential([keras.layers.Flatten(), *dense, keras.layers.Reshape(shape)])


def numbers(model):
    codes, x = np.ones((3, LATENT), "float32"), X[:5]
    methods = [model.encode(x), model.decode(codes), model.reconstruct(x), model.elbo(x), model.sample(3)]
    return [*methods, model.log_prob(x, 3), model.predict(x, verbose=0), model.evaluate(x, verbose=0)]


@pytest.mark.parametrize("change", [with_lora, with_other_networks, in_half_precision])
def test_what_people_call_is_of_the_networks_as_they_are_now(change):
    model = compiled(encoder=dense_layers(2 * LATENT), decoder=dense_layers(*SHAPE))
    before, functions = numbers(model), model.functions
    encoder, decoder = model.encoder, model.decoder
    assert model.functions is functions
    predict, evaluate = model.predict_function, model.test_function
    assert all(np.array_equal(one, other) for one, other in zip(before, numbers(model), strict=True))
    assert model.predict_function is predict
    assert model.test_function is evaluate
    change(model)
    after = numbers(model)
    assert not any(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    eager = model.posterior(X[:5]).mean(), model.likelihood(np.ones((3, LATENT), "float32")).mean()
    for ours, truth in zip(after, eager, strict=False):
        np.testing.assert_allclose(ours, truth, rtol=1e-5, atol=2e-2 if change is in_half_precision else 1e-6)
    if change is with_other_networks:
        model.encoder, model.decoder = encoder, decoder
        assert all(np.array_equal(one, other) for one, other in zip(before, numbers(model), strict=True))


def test_quantize_is_refused_with_what_writes_integers():
    model = toy()
    before = model.encode(X[:5])
    with pytest.raises(
        UserError, match=r'quantize\(.int8.\)\. .*export\(model, folder, \("onnx_int8",\), examples=x\)'
    ):
        model.quantize("int8")
    np.testing.assert_array_equal(model.encode(X[:5]), before)


def test_a_call_of_another_shape_is_refused_as_far_as_the_shape_is_known():
    model = toy(image_shape=(8, 8, 3))
    with pytest.raises(UserError, match=r"\(batch, 8, 8, 3\)\. Given: \(4, 3, 8, 8\)\. Put the channels last"):
        model(np.zeros((4, 3, 8, 8), "float32"))
    with pytest.raises(UserError, match=r"Given: \(None, 192\)"):
        model(keras.Input((192,)))
    assert model(np.zeros((4, 8, 8, 3), "float32")).shape == (4, 8, 8, 3)
    assert tuple(model(keras.Input((8, 8, 3))).shape) == (None, 8, 8, 3)
