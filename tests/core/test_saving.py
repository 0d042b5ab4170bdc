"""save_weights and load_weights: two endings, files that are refused, and models that stay as they were."""

import os

import h5py
import keras
import numpy as np
import pytest

from keras_vae.errors import CorruptFileError, UserError
from keras_vae.models import VAE, FactorVAE
from tests import toys
from tests.toys import binary, compiled, toy

ENDINGS = (".safetensors", ".weights.h5")
every_ending = pytest.mark.parametrize("ending", ENDINGS)


@every_ending
def test_weights_come_back(ending, tmp_path):
    model, other = toy(), toy(seed=4)
    model.step.assign(7)
    model.save_weights(tmp_path / f"a{ending}")
    other.load_weights(str(tmp_path / f"a{ending}"))
    assert toys.same(toys.weights(model), toys.weights(other)) and int(other.step) == 7
    assert os.listdir(tmp_path) == [f"a{ending}"]


@pytest.mark.parametrize("path", ["a", "a.h5", "a.keras", "a.weights.json", "a.npz", ".safetensors/a"])
@pytest.mark.parametrize("method", ["save_weights", "load_weights"])
def test_another_ending_is_refused(method, path, tmp_path):
    message = r"ends in \.safetensors, or in \.weights\.h5 .*Given: .*\. Name it a\.safetensors\."
    with pytest.raises(UserError, match=message):
        getattr(toy(), method)(tmp_path / path)
    assert not os.listdir(tmp_path)


def test_a_compiled_model_of_two_players_has_its_optimizers_in_hdf5(tmp_path):
    model, other = (compiled(FactorVAE, critic=toys.mlp(), seed=seed) for seed in (0, 1))
    model.fit(binary(32), batch_size=16, verbose=0)
    model.save_weights(tmp_path / "a.weights.h5")
    other.load_weights(tmp_path / "a.weights.h5")
    for first, second in zip(model.optimizers, other.optimizers, strict=True):
        assert toys.same(*([np.asarray(item) for item in each.variables] for each in (first, second)))


def test_overwriting(tmp_path):
    model, path = toy(), tmp_path / "a.safetensors"
    model.save_weights(path, overwrite=False)
    model.save_weights(path)
    with pytest.raises(UserError, match=r"must be free\. Given: .*a\.safetensors\. Choose another\."):
        model.save_weights(path, overwrite=False)


def test_options_of_keras(tmp_path):
    model, other = toy(), toy(latent_dim=3)
    for ending in ENDINGS:
        model.save_weights(tmp_path / f"a{ending}")
    with pytest.warns(UserWarning):
        other.load_weights(tmp_path / "a.weights.h5", skip_mismatch=True)
    with pytest.raises(UserError, match=r"Given: skip_mismatch, for .*a\.safetensors\. Leave them out\."):
        other.load_weights(tmp_path / "a.safetensors", skip_mismatch=True)


def test_the_callbacks_of_keras(tmp_path):
    model = compiled()
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "best.weights.h5", save_weights_only=True)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    model.fit(binary(32), batch_size=16, verbose=0, callbacks=[checkpoint, backup])
    other = toy(seed=4)
    other.load_weights(tmp_path / "best.weights.h5")
    assert toys.same(toys.weights(model), toys.weights(other))


def other_model(path):
    toy(latent_dim=3).save_weights(path)


def other_groups(path):
    path.unlink()
    with h5py.File(path, "w") as file:
        file["layers"] = np.zeros(3)


SPOILS = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "text": lambda path: path.write_text("weights"),
    "of another model": other_model,
    "with other groups": other_groups,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@every_ending
@pytest.mark.parametrize("spoil", SPOILS)
def test_files_that_are_refused_and_leave_the_model_as_it_was(spoil, ending, tmp_path):
    path = tmp_path / f"a{ending}"
    toy().save_weights(path)
    SPOILS[spoil](path)
    model = toy(seed=9)
    before = toys.weights(model)
    with pytest.raises(CorruptFileError, match=rf"a{ending} does not hold .*weights.*: .*\. Load it into a model of"):
        model.load_weights(path)
    assert toys.same(before, toys.weights(model))


@every_ending
def test_a_file_of_a_larger_model_is_refused_before_it_is_read(ending, tmp_path):
    path = tmp_path / f"a{ending}"
    if ending == ".safetensors":
        toy().save_weights(path)
        os.truncate(path, 5 * 2**30)
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("hole", (2**33,), "f4", chunks=(2**20,), compression="gzip")
    with pytest.raises(CorruptFileError, match="its arrays have "):
        toy().load_weights(path)


@pytest.mark.parametrize(
    ("cls", "dtype", "scaled", "options"),
    [
        (VAE, "float32", True, {}),
        (VAE, "mixed_float16", True, {}),
        (VAE, "mixed_float16", False, {}),
        (VAE, "mixed_float16", False, {"auto_scale_loss": False}),
        (FactorVAE, "float32", True, {}),
        (FactorVAE, "mixed_float16", False, {}),
        (VAE, "float32", False, {"run_eagerly": True}),
    ],
)
def test_training_goes_on_from_a_keras_file_with_every_kind_of_optimizer(cls, dtype, scaled, options, tmp_path):
    optimizer = keras.optimizers.Adam(1e-2)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0, dynamic_growth_steps=3)
    model = toy(cls, dtype=dtype)
    model.compile(optimizer, **(toys.PLAIN | options))
    x = binary(64)
    model.fit(x, batch_size=16, verbose=0)
    model.save(tmp_path / "f.keras")
    loaded = keras.models.load_model(tmp_path / "f.keras")
    for one, other in zip(model.optimizers, loaded.optimizers, strict=True):
        assert type(one) is type(other)
        assert toys.same(one.variables, other.variables) and int(other.iterations) > 0
    assert loaded.run_eagerly == model.run_eagerly and loaded.get_compile_config() == model.get_compile_config()
    for each in (model, loaded):
        each.fit(x, batch_size=16, verbose=0)
    assert toys.same(toys.weights(model), toys.weights(loaded))
    for one, other in zip(model.optimizers, loaded.optimizers, strict=True):
        assert toys.same(one.variables, other.variables)


def test_an_ordinary_models_compile_configuration_is_as_before():
    assert compiled().get_compile_config().keys() == {"optimizer", "jit_compile", "steps_per_execution"}
    model = toy(dtype="mixed_float16")
    plain = keras.saving.serialize_keras_object(keras.optimizers.Adam(1e-2))  # as files of before have it
    model.compile_from_config({"optimizer": {"model": plain}, "jit_compile": False, "steps_per_execution": 2})
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)


def test_an_option_that_keras_does_not_take_is_no_matter_of_the_file(tmp_path):
    model, path = toy(), tmp_path / "ok.weights.h5"
    model.save_weights(path)
    with pytest.raises(UserError, match=r"skip_mismatch and objects_to_skip\. Given: by_name=True, .*Leave it out"):
        model.load_weights(path, by_name=True)
    model.load_weights(path, skip_mismatch=True)
