"""FlowVAE: log-determinants against autodiff, inverses, and the reductions."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_vae.core import VAE
from keras_vae.distributions import flows
from keras_vae.errors import UserError
from keras_vae.export import export
from keras_vae.models.flow_vae import FlowVAE
from tests import toys
from tests.digits import assert_learned, trained
from tests.export.bundles import stirred
from tests.toys import binary, compiled, toy

X = binary(6)
SIZE = 5
FLOWS = ("planar", "realnvp", "iaf")


def flow_toy(flow, depth=3, **arguments):
    """A flow of float64 with weights far from the identity."""
    model = toy(FlowVAE, latent_dim=SIZE, flow=flow, depth=depth, flow_hidden=(7, 9), dtype="float64", **arguments)
    generator = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(generator.normal(size=weight.shape) * 1.5 / np.sqrt(max(weight.shape[0], 1)))
    return model


def jacobian(function, z):
    """`(batch, SIZE, SIZE)` by autodiff."""
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = function(z)
    return tape.batch_jacobian(value, z).numpy()


@pytest.mark.parametrize("flow", FLOWS)
class TestEachFlow:
    def test_log_determinants_are_those_of_the_jacobian(self, flow):
        model = flow_toy(flow)
        parts: Any = model._flow(model._outputs(tf.constant(X, "float64"), False)[2])
        z = tf.constant(np.random.default_rng(0).normal(size=(len(X), SIZE)))
        for layer, part in enumerate(parts):
            matrix = jacobian(part.forward, z)
            sign, expected = np.linalg.slogdet(matrix)
            given = part.forward_log_det_jacobian(z, event_ndims=1)
            np.testing.assert_allclose(given, expected, rtol=1e-9, atol=1e-9)  # float64; autodiff's own rounding
            assert (sign > 0).all() and np.abs(expected).max() > 0.05, "far from the identity"
            if flow == "iaf":  # causal: triangular, in an order that turns round at each layer
                order = matrix if layer % 2 == 0 else matrix[:, ::-1, ::-1]
                assert (
                    np.abs(np.triu(order, 1)).max() == 0 and (np.abs(np.tril(order, -1)).max(axis=0) > 0)[1:, :-1].any()
                )
            if flow == "realnvp":
                held = [place for place in range(SIZE) if (place + layer) % 2 == 0]
                np.testing.assert_array_equal(
                    matrix[:, held], np.broadcast_to(np.eye(SIZE)[held], (len(X), len(held), SIZE))
                )

    def test_the_density_is_the_base_density_over_the_determinant(self, flow):
        """log q(z|x) = log N(z_0) - log det of the whole map, its Jacobian by autodiff at z_0."""
        model = flow_toy(flow)
        x = tf.constant(X, "float64")
        posterior: Any = model.posterior(x)
        z = posterior.sample(seed=(0, 3))
        given = posterior.log_prob(z)
        origin = posterior.distribution.sample(seed=(0, 3))  # a flow draws with the seed of its base
        np.testing.assert_array_equal(posterior.bijector.forward(origin), z)
        matrix = jacobian(lambda value: flow_of(model, x)(value), origin)
        expected = posterior.distribution.log_prob(origin) - np.linalg.slogdet(matrix)[1]
        np.testing.assert_allclose(given, expected, rtol=1e-9)

    def test_depth_0_is_a_vae_with_a_sampled_kl(self, flow):
        class Sampled(VAE):
            analytic_kl = False

        plain, none = toy(Sampled), toy(FlowVAE, flow=flow, depth=0)
        none.set_weights(plain.get_weights())
        np.testing.assert_array_equal(none.elbo(X, seed=4), plain.elbo(X, seed=4))
        np.testing.assert_array_equal(none.encode(X), plain.encode(X))

    def test_the_elbo_is_that_of_its_importance_weights(self, flow):
        """log p(x, z) - log q(z|x) of 4000 draws averages to the average of 4000 ELBOs, an image repeated."""
        model = flow_toy(flow, depth=2)
        weights = np.asarray(model.log_weights(tf.constant(X[:1], "float64"), 4000, seed=1))
        elbos = model.elbo(np.repeat(X[:1], 4000, axis=0), seed=1)
        error = np.sqrt(weights.var() / 4000 + elbos.var() / 4000)
        assert abs(weights.mean() - elbos.mean()) < 5 * error and error < 1

    def test_every_variable_gets_a_gradient(self, flow):
        model = flow_toy(flow)
        with tf.GradientTape() as tape, model.draws.using((0, 0)):
            loss = model.objective(model.terms({"x": tf.constant(X, "float64")}, training=True))
        gradients: Any = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        assert all(np.abs(gradient).max() > 0 for gradient in gradients)

    @pytest.mark.slow
    def test_trains_under_xla(self, flow):
        model = toy(FlowVAE, flow=flow, depth=2, flow_hidden=(8,))
        model.compile("adam", steps_per_execution=1)
        history = model.fit(binary(64), batch_size=32, epochs=2, verbose=0).history
        assert np.isfinite(history["elbo"]).all()

    def test_comes_back_from_its_configuration(self, flow):
        model = stirred(toy(FlowVAE, flow=flow, depth=3, flow_hidden=(8,)))
        again = FlowVAE.from_config(model.get_config())
        again.set_weights(model.get_weights())
        np.testing.assert_array_equal(again.encode(X), model.encode(X))

    @pytest.mark.slow
    def test_exports(self, flow, tmp_path):
        bundle = export(stirred(toy(FlowVAE, flow=flow, depth=3, flow_hidden=(8,))), tmp_path / "bundle", ("onnx",))
        assert {row.output for row in bundle.parity if row.graph == "encoder"} == {"mean", "base_mean", "log_var"}

    @pytest.mark.slow
    def test_learns_digits(self, flow):
        model = trained(FlowVAE, flow=flow, depth=2, flow_hidden=(32,))
        assert_learned(model)


def flow_of(model, x):
    def forward(value):
        for part in model._flow(model._outputs(x, False)[2]):
            value = part.forward(value)
        return value

    return forward


@pytest.mark.parametrize("flow", ["realnvp", "iaf"])
def test_inverses(flow):
    model = flow_toy(flow)
    x = tf.constant(X, "float64")
    z = tf.constant(np.random.default_rng(2).normal(size=(3, len(X), SIZE)))
    for part in model._flow(model._outputs(x, False)[2]):
        there = part.forward(z)
        # Through numpy, so that TFP cannot remember where the point came from; scales up to exp(4) amplify 1e-16.
        np.testing.assert_allclose(part.inverse(tf.constant(there.numpy())), z, rtol=1e-9, atol=1e-9)
    posterior: Any = model.posterior(x)
    drawn = posterior.sample(4, seed=(0, 1))
    np.testing.assert_allclose(
        model.posterior(x).log_prob(tf.constant(drawn.numpy())), posterior.log_prob(drawn), rtol=1e-8
    )


def test_iaf_integrates_to_one_in_two_dimensions():
    """Over a grid that holds all but 1e-6 of the mass of a stirred flow; smooth, so trapezoids are good to 1e-3."""
    model = toy(FlowVAE, flow="iaf", depth=2, flow_hidden=(8,), dtype="float64")
    generator = np.random.default_rng(0)
    for network in model.flow_networks:
        for weight in network.weights:
            weight.assign(generator.normal(size=weight.shape))
    points = np.linspace(-12, 12, 601)
    grid = np.stack(np.meshgrid(points, points), -1).reshape(-1, 1, 2)
    density = np.exp(model.posterior(tf.constant(X[:1], "float64")).log_prob(tf.constant(grid)))
    assert density.sum() * (points[1] - points[0]) ** 2 == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("product", [-30.0, -1.5, -1.0, 0.0, 3.0])
def test_planar_maps_stay_invertible(product):
    """w.u is moved above -1, so along w the map rises: z.w + w.u tanh(z.w + b) is monotone."""
    w = np.array([0.6, -0.8])
    part = flows.Planar(tf.constant([product * w]), tf.constant([w]), tf.constant([0.3], "float64"))
    line = tf.constant(np.linspace(-6, 6, 2001)[:, None, None] * w)
    rise = np.asarray(part.forward(line)) @ w
    assert (np.diff(rise[:, 0]) > 0).all()
    inner = float(np.sum(np.asarray(part._u) * w))
    assert inner == pytest.approx(np.logaddexp(0, product) - 1, abs=1e-6)  # 1e-8 is added to w.w
    with pytest.raises(NotImplementedError):
        part.inverse(tf.constant([[0.1, 0.2]], "float64"))


def test_noise_of_the_base_changes_the_draw_but_not_the_code():
    model = compiled(FlowVAE, flow="iaf", depth=2)
    assert not np.array_equal(model.elbo(X, seed=0), model.elbo(X, seed=1))
    assert toys.same([model.encode(X)], [model.encode(X)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flow": "glow"}, r"flow is one of iaf, planar, realnvp\. Given: 'glow'"),
        ({"depth": -1}, r"depth must be a whole number, 0 or more\. Given: -1"),
        ({"flow_hidden": ()}, r"flow_hidden needs the size of one hidden layer"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        toy(FlowVAE, **arguments)
