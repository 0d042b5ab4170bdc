"""Weights on disk: names that depend on the class alone, exact round trips, float16, and files that are refused."""

import json
import os
import struct

import h5py
import keras
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from keras_vae import weights
from keras_vae.errors import CorruptFileError, UserError
from tests import toy_runs, toys
from tests.conformance.cases import every_model, make
from tests.toys import mlp, toy


def stirred(model):
    """The model with a random number in each place of each weight."""
    generator = np.random.default_rng(5)
    for weight in model.weights:
        values = generator.normal(size=weight.shape) if "float" in weight.dtype else np.full(weight.shape, 7)
        weight.assign(values.astype(weight.dtype))
    return model


def test_names_are_attribute_paths():
    model = toy(encoder=mlp(batch_norm=True))
    names = list(weights.named_variables(model))
    assert names[0] == "step" and "encoder/stack/layers/2/kernel" in names and "decoder/stack/layers/2/bias" in names
    assert len(names) == len(model.weights)


def test_names_of_layers_in_lists_mappings_and_functional_models():
    inputs = keras.Input((4, 4, 1))
    dense = keras.layers.Dense(4)
    own = keras.Model(inputs, dense(keras.layers.Flatten()(inputs)))
    assert {"encoder/layers/2/kernel", "encoder/layers/2/bias"} <= set(weights.named_variables(toy(encoder=own)))

    class Nested(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.parts = {"first": [keras.layers.Dense(3)], "second": (keras.layers.Dense(2),)}
            self._hidden = keras.layers.Dense(1)
            for layer in (self.parts["first"][0], self.parts["second"][0], self._hidden):
                layer.build((None, 3))

    names = {"parts/first/0/kernel", "parts/first/0/bias", "parts/second/0/kernel", "parts/second/0/bias",
             "hidden/kernel", "hidden/bias"}  # fmt: skip
    assert set(weights.named_variables(Nested())) == names


@every_model
def test_every_model_comes_back_bit_for_bit_in_its_second_instance(name, tmp_path):
    """Keras numbers layers in a process as it makes them; names of attributes stay what they are."""
    make(name)
    model, path = stirred(make(name)), tmp_path / "model.safetensors"
    weights.save(path, weights.numpy_arrays(weights.named_variables(model)), {"of": name})
    other = make(name, seed=4)
    arrays, metadata = weights.read(path, 10**7)
    weights.assign(weights.named_variables(other), arrays, path)
    assert toys.same(toys.weights(model), toys.weights(other)) and metadata == {"of": name}


@pytest.mark.slow
@every_model
def test_every_model_is_read_by_another_process(name, tmp_path):
    model, path = stirred(make(name)), tmp_path / "model.safetensors"
    weights.save(path, weights.numpy_arrays(weights.named_variables(model)))
    script = (
        "from keras_vae import weights; from tests.conformance.cases import make; import numpy as np\n"
        f"model = make({name!r}, seed=9)\n"
        f"arrays, _ = weights.read({str(path)!r}, 10**7)\n"
        f"weights.assign(weights.named_variables(model), arrays, 'x')\n"
        "print(repr(float(sum(np.abs(np.asarray(w, 'float64')).sum() for w in model.weights))))"
    )
    done = toy_runs.python(["-W", "ignore", "-c", script], tmp_path)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == float(sum(np.abs(np.asarray(w, "float64")).sum() for w in model.weights))


def test_half_precision_keeps_counters_and_statistics(tmp_path):
    model = stirred(toy(encoder=mlp(batch_norm=True)))
    arrays = weights.numpy_arrays(weights.named_variables(model), storage="float16")
    kinds = {name: array.dtype.name for name, array in arrays.items()}
    assert kinds["step"] == "int64" and kinds["encoder/stack/layers/2/kernel"] == "float16"
    assert kinds["encoder/stack/layers/3/moving_variance"] == kinds["encoder/stack/layers/3/gamma"] == "float32"
    model.encoder.weights[0].assign(np.full(model.encoder.weights[0].shape, 7e4))
    with pytest.raises(
        UserError, match=r"stored as float16, up to 65504\. Given: 70000 in encoder/stack/layers/2/kernel"
    ):
        weights.numpy_arrays(weights.named_variables(model), storage="float16")


def half(model, path):
    weights.save(path, weights.numpy_arrays(weights.named_variables(model), storage="float16"))


def test_half_precision_comes_back_and_is_stable(tmp_path):
    model, again, path = stirred(toy(encoder=mlp(batch_norm=True))), toy(encoder=mlp(batch_norm=True), seed=5), tmp_path
    half(model, path / "a.safetensors")
    weights.load(again, path / "a.safetensors")
    for ours, theirs in zip(model.trainable_variables, again.trainable_variables, strict=True):
        kind = "float32" if "normalization" in ours.path else "float16"
        assert theirs.dtype == "float32"
        np.testing.assert_array_equal(np.asarray(theirs), np.asarray(ours).astype(kind).astype("float32"))
    # Stored once more, nothing moves: what is measured is what is stored, whatever else the process made before.
    half(again, path / "b.safetensors")
    assert (path / "a.safetensors").read_bytes() == (path / "b.safetensors").read_bytes()


def test_eight_bits_come_back_and_are_stable(tmp_path):
    wide = mlp(batch_norm=True, hidden=(64, 64))
    model, again = stirred(toy(encoder=wide)), toy(encoder=wide, seed=5)
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    weights.save(first, weights.numpy_arrays(weights.named_variables(model), "int8"))
    with safe_open(first, framework="np") as file:
        kinds = {name: file.get_tensor(name).dtype.name for name in file.keys()}  # noqa: SIM118 - no mapping
    assert kinds["encoder/stack/layers/5/kernel"] == "int8" and kinds["decoder/stack/layers/2/bias"] == "float16"
    assert kinds["encoder/stack/layers/3/gamma"] == "float32" and kinds["step"] == "int64"
    weights.load(again, first)
    for ours, theirs in zip(model.weights, again.weights, strict=True):
        np.testing.assert_allclose(np.asarray(theirs), np.asarray(ours), rtol=1e-3, atol=0.02)
    weights.save(second, weights.numpy_arrays(weights.named_variables(again), "int8"))
    assert first.read_bytes() == second.read_bytes()
    with pytest.raises(CorruptFileError, match=r"does not hold weights: .* not one number for each block of encoder/"):
        spoilt = load_file(first)
        spoilt["encoder/stack/layers/5/kernel:scales"] = spoilt["encoder/stack/layers/5/kernel:scales"][:, :1]
        weights.save(first, spoilt)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", [None, "bn"])
def test_statistics_of_normalisation_layers_of_any_name_keep_float32(tmp_path, name):
    layers = [keras.layers.Flatten(), keras.layers.Dense(4), keras.layers.BatchNormalization(name=name)]
    model = toy(encoder=keras.Sequential(layers))
    layers[-1].moving_variance.assign(np.full(4, 1e-9))  # float16 ends at 6e-8
    half(model, tmp_path / "a.safetensors")
    layers[-1].moving_variance.assign(np.ones(4))
    weights.load(model, tmp_path / "a.safetensors")
    np.testing.assert_array_equal(np.asarray(layers[-1].moving_variance), np.full(4, 1e-9, "float32"))


@pytest.mark.parametrize("value", [65505.0, -1e6, np.inf, np.nan])
def test_what_float16_cannot_hold_is_refused_and_nothing_is_left(tmp_path, value):
    model, path = toy(), tmp_path / "model.safetensors"
    bias = model.decoder.stack.layers[-2].bias
    bias.assign(np.full(bias.shape, 65504.0))
    half(model, path)  # the largest that there is
    before = path.read_bytes()
    bias.assign(np.where(np.arange(bias.shape[0]) == 3, value, 0.0))
    with pytest.raises(UserError, match=r"as float16, up to 65504\. Given: (65505|1e\+06|inf|nan) in decoder/"):
        half(model, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


def test_bfloat16_is_stored_as_float32(tmp_path):
    model, again = toy(dtype="bfloat16"), toy(dtype="bfloat16", seed=4)
    weights.save(tmp_path / "a.safetensors", weights.numpy_arrays(weights.named_variables(model)))
    weights.load(again, tmp_path / "a.safetensors")
    assert toys.same(toys.weights(model), toys.weights(again)) and model.weights[1].dtype == "bfloat16"


def test_a_weight_that_no_attribute_leads_to_is_refused():
    class Hiding(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            layer = keras.layers.Dense(2)
            layer.build((None, 3))
            self._tracker.track(layer)
            self._layers.append(layer) if layer not in self._layers else None
            self._self_hidden = layer
            del self.__dict__["_layers"]

        @property
        def weights(self):
            return self._self_hidden.weights

    with pytest.raises(UserError, match="Every weight is stored under the attributes that lead to it"):
        weights.named_variables(Hiding())


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    weights.save(path, weights.numpy_arrays(weights.named_variables(toy())), {"epochs": 3})
    return path


def rewritten(file, change):
    """The file with another header: `change` edits its JSON in place."""
    data = file.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


MUTATIONS = {
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-5]),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"0"),
    "no header": lambda file: file.write_bytes(b"\xff" * 64),
    "header of 2**62 bytes": lambda file: file.write_bytes(struct.pack("<Q", 2**62) + file.read_bytes()[8:]),
    "offsets out of the file": lambda file: rewritten(file, lambda h: h["step"].update(data_offsets=[0, 2**40])),
    "a shape of other size": lambda file: rewritten(file, lambda h: h["step"].update(shape=[3])),
    "a header without end": lambda file: (file.write_bytes(struct.pack("<Q", 2**30)), os.truncate(file, 2**31)),
    "a type that NumPy has not": lambda file: rewritten(
        file, lambda h: h["encoder/stack/layers/2/bias"].update(dtype="F8_E4M3", shape=[32])
    ),
    "metadata that are no JSON": lambda file: rewritten(file, lambda h: h["__metadata__"].update(keras_vae="{")),
    "metadata that are a list": lambda file: rewritten(file, lambda h: h["__metadata__"].update(keras_vae="[1]")),
    "nested metadata": lambda file: rewritten(file, lambda h: h["__metadata__"].update(keras_vae="[" * 100_000)),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "HDF5": lambda file: file.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600)),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_files_that_are_refused(file, mutation):
    MUTATIONS[mutation](file)
    with pytest.raises(CorruptFileError, match=r"model\.safetensors does not hold weights: .*\. Use an intact copy"):
        weights.read(file, 10**6)


def test_more_bytes_than_the_model_has_are_refused_unread(file):
    model = toy()
    os.truncate(file, 5 * 2**30)  # a hole: five gigabytes that are nowhere
    with pytest.raises(CorruptFileError, match=r"its arrays have 5,\d+,\d+,\d+ bytes, and the model's \d,\d+\. Use an"):
        weights.load(model, file)
    with pytest.raises(CorruptFileError, match="does not hold weights"):
        weights.read(file, None)


def test_metadata_come_with_the_arrays(file):
    assert weights.read(file, None, sealed=True)[1] == {"epochs": 3}


SEALED = {
    "a bit of an array": lambda file: file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1])),
    "metadata": lambda file: file.write_bytes(file.read_bytes().replace(b'epochs\\": 3', b'epochs\\": 4')),
    "the digest": lambda file: file.write_bytes(file.read_bytes().replace(b'sha256\\": \\"', b'sha256\\": \\"0')[:-1]),
    "names": lambda file: file.write_bytes(file.read_bytes().replace(b"encoder/", b"anything")),
}


@pytest.mark.parametrize("what", SEALED)
def test_what_is_no_longer_what_was_written_is_refused(file, what):
    before = file.read_bytes()
    SEALED[what](file)
    assert file.read_bytes() != before
    with pytest.raises(CorruptFileError, match=r"does not hold weights: .*\. Use an intact copy"):
        weights.read(file, None)


def test_a_file_without_a_digest_is_read_where_none_is_needed(tmp_path):
    """Weights of an earlier version; a checkpoint is not gone on from without."""
    save_file({"a": np.ones(2)}, tmp_path / "a.safetensors")
    assert weights.read(tmp_path / "a.safetensors", None)[1] == {}
    with pytest.raises(CorruptFileError, match=r"it has no SHA-256 of itself\. Use"):
        weights.read(tmp_path / "a.safetensors", None, sealed=True)


def test_a_write_that_went_wrong_leaves_the_old_file(file, monkeypatch):
    """What was written is read back before it takes the name, and before the old one becomes the previous one."""
    before, previous = file.read_bytes(), file.with_name("previous.safetensors")
    weights.save(file, {"a": np.ones(2)}, previous=previous)
    assert previous.read_bytes() == before and weights.read(file, None)[0].keys() == {"a"}
    after = file.read_bytes()
    monkeypatch.setattr(weights, "save_file", lambda arrays, *words: save_file({"a": arrays["a"] * 2}, *words))
    with pytest.raises(CorruptFileError, match="another SHA-256"):
        weights.save(file, {"a": np.ones(2)}, previous=previous)
    assert (file.read_bytes(), previous.read_bytes()) == (after, before)
    assert len(list(file.parent.iterdir())) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("step"), r"step is missing \(1 missing, 0 left over\)"),
        (lambda arrays: arrays.update(other=np.zeros(2)), r"other is not the model's \(0 missing, 1 left over\)"),
        (lambda arrays: arrays.update(step=np.zeros(2, "int64")), r"step is int64 of shape \(2,\), not int64 of \(\)"),
        (lambda arrays: arrays.update(step=np.zeros((), "float32")), r"step is float32 of shape \(\), not int64"),
    ],
)
def test_weights_of_another_model_are_refused_and_none_is_assigned(file, change, message):
    arrays, _ = weights.read(file, 10**6)
    change(arrays)
    model = toy(seed=9)
    before = toys.weights(model)
    with pytest.raises(CorruptFileError, match=message):
        weights.assign(weights.named_variables(model), arrays, file)
    assert toys.same(before, toys.weights(model))


def old_file(tmp_path):
    path = tmp_path / "model.weights.h5"
    toy().save_weights(path)
    return path


def soft(file, path):
    file["soft"] = h5py.SoftLink("/encoder")


def external(file, path):
    file["elsewhere"] = h5py.ExternalLink(str(path.with_name("other.h5")), "/")


def outside(file, path):
    file.create_dataset("outside", (4,), "f4", external=[(str(path.with_name("raw")), 0, 16)])


def virtual(file, path):
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource(str(path.with_name("other.h5")), "a", (2,))
    file.create_virtual_dataset("virtual", layout)


def hole(file, path):
    file.create_dataset("hole", (2**40,), "f4", chunks=(1024,), compression="gzip")


def text(file, path):
    file["text"] = "a" * 100  # of any length, which its size does not tell


def cycle(file, path):
    file["again"] = file["encoder"]


def test_an_old_file_passes(tmp_path):
    weights.check_hdf5(old_file(tmp_path), 10**6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (soft, "is a link"),
        (external, "is a link"),
        (outside, "is stored outside the file"),
        (virtual, "is stored outside the file"),
        (hole, "more than 1,000,000 bytes"),
        (cycle, "is a second name"),
        (text, "neither a group nor an array of numbers"),
    ],
)
def test_old_files_that_lead_elsewhere_are_refused(tmp_path, change, reason):
    path = old_file(tmp_path)
    with h5py.File(path, "a") as file:
        change(file, path)
    with pytest.raises(CorruptFileError, match=rf"model\.weights\.h5 does not hold weights: .*{reason}"):
        weights.check_hdf5(path, 10**6)


@pytest.mark.parametrize("data", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + bytes(600)])
def test_what_is_no_hdf5_is_refused(tmp_path, data):
    (tmp_path / "model.weights.h5").write_bytes(data)
    with pytest.raises(CorruptFileError, match="does not hold weights"):
        weights.check_hdf5(tmp_path / "model.weights.h5", 10**6)
