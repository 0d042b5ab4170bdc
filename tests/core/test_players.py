"""Players, of a model that has two: whose loss moves what, their optimizers, their logs, and what is refused."""

import keras
import numpy as np
import pytest

from keras_vae.core import Player
from keras_vae.errors import UserError
from keras_vae.models import AAE
from tests import toys
from tests.toys import PLAIN, binary, compiled, mlp, same, toy

X = binary(64)
SGD = keras.optimizers.SGD


def two(optimizer="adam", cls=AAE, **arguments):
    return compiled(cls, optimizer, critic=mlp(), **arguments)


def test_each_optimizer_is_built_on_its_players_variables():
    model = two()
    first, second = model.optimizers
    assert first is not second and second.get_config() == first.get_config()
    for optimizer, player in zip(model.optimizers, model.players(), strict=True):
        # Adam: iterations, learning rate, and two moments a variable
        assert len(optimizer.variables) == 2 + 2 * len(player.variables)
    variables = [variable for each in model.optimizers for variable in each.variables]
    assert len({id(variable) for variable in variables}) == len(variables)


def test_a_mapping_names_the_players():
    model = two({"critic": SGD(0.5), "model": "adam"})
    assert [type(each).__name__ for each in model.optimizers] == ["Adam", "SGD"]
    for wrong in ({"model": "adam"}, {"model": "adam", "citric": "sgd"}, {}):
        with pytest.raises(UserError, match=r"one optimizer for each of \['model', 'critic'\]\. Given: "):
            toy(AAE, critic=mlp()).compile(wrong)


@pytest.mark.parametrize("owners", ["none", "model and critic"])
def test_every_variable_has_exactly_one_player(owners):
    class Wrong(AAE):
        def players(self):
            first, second = super().players()
            if owners == "none":
                return [first]
            return [first, Player("critic", second.loss, [*second.variables, first.variables[0]])]

    with pytest.raises(UserError, match=f"belongs to exactly one player.*which belongs to {owners}"):
        toy(Wrong, critic=mlp()).compile()


def test_the_whole_model_comes_back_with_both_optimizers(tmp_path):
    """model.save and load_model: both go on to equal weights."""
    model = two({"model": SGD(0.1, momentum=0.9), "critic": "adam"})
    history = model.fit(X, batch_size=32, verbose=0).history
    assert set(history) == {"loss", "critic_loss", "log_px", "fooling"}
    model.save(tmp_path / "a.keras")
    other = keras.models.load_model(tmp_path / "a.keras")
    assert [type(each).__name__ for each in other.optimizers] == ["SGD", "Adam"]
    assert (other.jit_compile, other.steps_per_execution) == (False, 1)
    for mine, theirs in zip(other.optimizers, model.optimizers, strict=True):
        assert same([np.array(v) for v in mine.variables], [np.array(v) for v in theirs.variables])
        assert any(np.abs(np.array(v)).max() > 0 for v in mine.variables[2:]), "moments are not zero"
    for each in (model, other):
        each.fit(X, batch_size=32, verbose=0)
    assert same(toys.weights(other), toys.weights(model))


def test_a_diverging_critic_is_named():
    model = toy(AAE, critic=mlp(), weight=0.0)
    model.compile({"model": SGD(0.0), "critic": SGD(1e38)}, **PLAIN)
    with pytest.raises(UserError, match=r"'critic' is not finite at step \d"):
        model.fit(X, batch_size=16, epochs=3, verbose=0)


def moved(model, x=X):
    """How far the weights of each player moved in one step."""
    before = {player.name: [v.numpy() for v in player.variables] for player in model.players()}
    model.fit(x, batch_size=len(x), verbose=0)
    return {
        player.name: max(
            np.abs(v.numpy() - w).max() for v, w in zip(player.variables, before[player.name], strict=True)
        )
        for player in model.players()
    }


@pytest.mark.parametrize("each", [False, True], ids=["one", "of each player"])
def test_an_optimizer_that_scales_its_loss_does_so_once(each):
    def scaled():
        return keras.optimizers.LossScaleOptimizer(SGD(0.1))

    plain, other = moved(two(SGD(0.1))), moved(two({"model": scaled(), "critic": scaled()} if each else scaled()))
    assert other == pytest.approx(plain, rel=1e-4)


def test_one_optimizer_has_one_learning_rate():
    """Keras's callbacks set that of `model.optimizer`."""
    halved = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    model = two(SGD(0.1))
    model.fit(X, batch_size=16, epochs=2, verbose=0, callbacks=[halved])
    assert [float(one.learning_rate) for one in model.optimizers] == pytest.approx([0.025, 0.025])
    model = two({"model": SGD(0.1), "critic": SGD(0.4)})
    model.fit(X, batch_size=16, epochs=2, verbose=0, callbacks=[halved])
    assert [float(one.learning_rate) for one in model.optimizers] == pytest.approx([0.025, 0.4])


@pytest.mark.parametrize(("given", "second"), [(SGD(0.1), 0.05), ({"model": SGD(0.1), "critic": SGD(0.4)}, 0.4)])
def test_a_model_that_was_saved_has_one_learning_rate_still(given, second, tmp_path):
    model = two(given)
    model.fit(X, batch_size=16, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    halved = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    loaded.fit(X, batch_size=16, verbose=0, callbacks=[halved])
    assert [float(one.learning_rate) for one in loaded.optimizers] == pytest.approx([0.05, second])


def test_a_schedule_of_one_optimizer_goes_on():
    model = two(SGD(keras.optimizers.schedules.PolynomialDecay(0.1, 4, 0.0)))
    model.fit(X, batch_size=16, verbose=0)
    assert [float(one.learning_rate) for one in model.optimizers] == pytest.approx([0.0, 0.0])


@pytest.mark.parametrize("frozen", [True, False])
def test_what_is_trained_is_that_of_compile(frozen):
    model = toy()
    model.encoder.trainable = not frozen
    model.compile("adam", **PLAIN)
    model.fit(X, batch_size=16, verbose=0)
    model.encoder.trainable = frozen
    for call in (lambda: model.fit(X, batch_size=16, verbose=0), lambda: model.train_on_batch(X)):
        with pytest.raises(UserError, match="Call compile again, with a new optimizer"):
            call()
    model.compile("adam", **PLAIN)
    before = [v.numpy() for v in model.encoder.weights]
    model.fit(X, batch_size=16, verbose=0)
    assert same(before, [v.numpy() for v in model.encoder.weights]) is not frozen


def test_a_player_has_something_to_train():
    model = toy(AAE, critic=mlp())
    model.critic.trainable = False
    model.compile("adam", **PLAIN)
    assert np.isfinite(model.evaluate(X, verbose=0)).all()
    with pytest.raises(UserError, match="Given: 'critic', of which all are frozen"):
        model.fit(X, batch_size=16, verbose=0)


def test_an_optimizer_is_of_one_model_and_goes_on_after_another_compile():
    optimizer, model = keras.optimizers.Adam(), toy()
    model.compile(optimizer, **PLAIN)
    model.fit(X, batch_size=16, verbose=0)
    with pytest.raises(UserError, match="Given: for 'model' one of another model or player"):
        toy().compile(optimizer)
    model.compile(optimizer, **PLAIN)
    model.fit(X, batch_size=16, verbose=0)
    assert int(optimizer.iterations) == 8 and len(optimizer.variables) == 2 + 2 * len(model.trainable_variables)


def test_an_optimizer_as_keras_writes_it():
    model = two(keras.optimizers.serialize(SGD(0.3)))
    assert [float(one.learning_rate) for one in model.optimizers] == pytest.approx([0.3, 0.3])
    with pytest.raises(UserError, match="compile needs an optimizer"):
        toy().compile(None)
