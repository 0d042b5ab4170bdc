"""The TensorBoard callback: what its event files hold is what fit said and what the model draws."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

from keras_vae import plots, zoo
from keras_vae.callbacks import TensorBoard
from keras_vae.cli import main
from keras_vae.errors import UserError
from keras_vae.evaluation.evaluation import Evaluation
from keras_vae.evaluation.latent import active_units
from keras_vae.models import AE, CVAE, VQVAE, HierarchicalVAE, SemiSupervisedVAE
from keras_vae.tasks.embedding import to_plane
from keras_vae.tasks.traversal import traverse
from tests import toy_runs
from tests.toys import PLAIN, SHAPE, binary, compiled, mlp


def written(folder):
    """(name, step) -> a number, or an image's pixels, of all event files in a folder."""
    found = {}
    for path in sorted(folder.glob("events*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            for value in event.summary.value:
                array = tf.make_ndarray(value.tensor)
                images = value.metadata.plugin_data.plugin_name == "images"
                found[value.tag, event.step] = tf.io.decode_png(array[2]).numpy() if images else float(array)
    return found


KINDS = {
    "plain": lambda: compiled(),
    "hierarchical": lambda: HierarchicalVAE((2, 2), 4, image_shape=SHAPE, encoder=mlp(), decoder=mlp()),
    "discrete": lambda: VQVAE((3,), 5, 2, image_shape=SHAPE, encoder=mlp(), decoder=mlp()),
    "of few labels": lambda: compiled(SemiSupervisedVAE, num_classes=2, classifier=mlp()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_has_its_scalars_each_epoch_and_its_pictures_each_second(tmp_path, kind):
    """The fast sibling of the fits below: two ends of an epoch, with what a batch is measured to be."""
    model, x = KINDS[kind](), binary(20)
    model.compile("adam", **PLAIN)
    logs = model.evaluate(x, batch_size=20, verbose=0, return_dict=True)
    callback = TensorBoard(tmp_path, x, every=2, codes="pca", labels=np.arange(20) % 3)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch in range(2):
        callback.on_epoch_end(epoch, logs)
    callback.on_train_end()
    found = written(tmp_path)
    scalars = {"loss", "elbo", "log_px", "kl", "beta"} | ({"perplexity"} if kind == "discrete" else {"active_units"})
    pictures = {"reconstructions", "samples", "codes"} | (set() if kind == "discrete" else {"traversal"})
    assert scalars <= {name for name, step in found if step == 1} and pictures.isdisjoint(
        name for name, step in found if step == 1
    )
    assert scalars | pictures <= {name for name, step in found if step == 2}
    for name, value in logs.items():
        assert found[name, 1] == pytest.approx(value, rel=1e-6, nan_ok=True)
    expected = plots.mosaic(np.concatenate([x[:16], model.reconstruct(x[:16])]), 16)
    np.testing.assert_allclose(found["reconstructions", 2] / 255.0, expected, atol=1.01 / 255)
    points = to_plane(Evaluation(model, x).vectors, "pca")
    drawn = plots.pixels(plots.scatter(points, labels=np.arange(20) % 3, title="pca"))
    np.testing.assert_array_equal(found["codes", 2], drawn)
    if kind != "discrete":
        assert found["active_units", 2] == active_units(model, x)["value"]
        rows = traverse(model, x).images
        expected = plots.mosaic(rows.reshape(-1, *SHAPE), rows.shape[1])
        np.testing.assert_allclose(found["traversal", 2] / 255.0, expected, atol=1.01 / 255)


def test_codes_by_tsne_of_few_examples_and_no_picture_where_all_are_one(tmp_path):
    model, x = compiled(), binary(5)
    apart, same = (TensorBoard(tmp_path / name, x, codes="tsne") for name in ("apart", "same"))
    for callback in (apart, same):
        callback.set_model(model)
        callback.on_train_begin()
    apart.on_epoch_end(0)
    for variable in model.encoder.variables:
        variable.assign(np.zeros(variable.shape))
    same.on_epoch_end(0)
    assert found_pictures(tmp_path / "apart") == found_pictures(tmp_path / "same") | {"codes"}


def found_pictures(folder):
    return {name for name, _ in written(folder)} - {"active_units"}


@pytest.mark.slow
def test_scalars_each_epoch_and_pictures_each_second(tmp_path):
    model, x = compiled(), binary(48)
    history = model.fit(
        x, batch_size=16, epochs=3, validation_data=x, verbose=0, callbacks=[TensorBoard(tmp_path, x, every=2)]
    ).history
    found = written(tmp_path)
    for name, values in history.items():
        np.testing.assert_allclose([found[name, step] for step in (1, 2, 3)], values, rtol=1e-6)
    assert {step for name, step in found if name == "active_units"} == {1, 2, 3}
    assert {"elbo", "log_px", "kl", "beta", "val_elbo"} <= {name for name, _ in found}
    pictures = {"reconstructions", "samples", "traversal"}
    assert {(name, step) for name, step in found if name in pictures} == {(name, 2) for name in pictures}
    assert found["reconstructions", 2].shape == plots.mosaic(np.zeros((32, 4, 4, 1)), 16).shape


@pytest.mark.slow
def test_pictures_are_of_the_model_as_it_is(tmp_path):
    """After the last epoch nothing moves any more: the picture is what the model draws now, in 8 bits."""
    model, x = compiled(), binary(20)
    model.fit(x, batch_size=10, verbose=0, callbacks=[TensorBoard(tmp_path, x)])
    found = written(tmp_path)
    expected = plots.mosaic(np.concatenate([x[:16], model.reconstruct(x[:16])]), 16)
    np.testing.assert_allclose(found["reconstructions", 1] / 255.0, expected, atol=1.01 / 255)
    assert found["active_units", 1] == active_units(model, x)["value"]


@pytest.mark.slow
def test_a_model_without_a_prior_has_no_samples(tmp_path):
    model, x = compiled(AE), binary(16)
    model.fit(x, batch_size=16, verbose=0, callbacks=[TensorBoard(tmp_path, x)])
    names = {name for name, _ in written(tmp_path)}
    assert "samples" not in names and {"reconstructions", "traversal", "log_px"} <= names


@pytest.mark.slow
def test_integer_codes_have_no_traversal_and_labels_are_given(tmp_path):
    vq = VQVAE((3,), 5, 2, image_shape=SHAPE, encoder=mlp(), decoder=mlp())
    vq.compile("adam", **PLAIN)
    vq.fit(binary(16), batch_size=16, verbose=0, callbacks=[TensorBoard(tmp_path / "vq", binary(16))])
    names = {name for name, _ in written(tmp_path / "vq")}
    assert "traversal" not in names and "active_units" not in names and {"samples", "perplexity"} <= names
    x, y = binary(16), np.arange(16) % 2
    model = compiled(CVAE, num_classes=2)
    model.fit(x, y, batch_size=16, verbose=0, callbacks=[TensorBoard(tmp_path / "cvae", x, condition=y)])
    found = written(tmp_path / "cvae")
    expected = plots.mosaic(model.sample(16, condition=y), 16)
    np.testing.assert_allclose(found["samples", 1] / 255.0, expected, atol=1.01 / 255)


def test_without_the_package_it_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # how Python marks what cannot be imported
    with pytest.raises(UserError, match=r"needs the package tensorboard, .* pip install 'keras-vae\[tensorboard\]'"):
        TensorBoard(tmp_path, binary(2))


@pytest.mark.slow
def test_a_run_writes_what_tensorboard_reads(tmp_path, monkeypatch):
    """From the command line, and read by TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    recipe = toy_runs.write_recipe(tmp_path / "toy.toml")
    with pytest.raises(SystemExit) as left:
        main(["train", str(recipe), "--json", "--tensorboard", "board"])
    assert left.value.code == 0
    events = EventAccumulator(str(tmp_path / "board"), size_guidance={"tensors": 0}).Reload()
    assert {"elbo", "kl", "active_units", "reconstructions", "samples", "traversal"} <= set(events.Tags()["tensors"])
    history = zoo.card("runs/toy").results["training"]["history"]
    found = [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("elbo")]
    np.testing.assert_allclose(found, history["elbo"], rtol=1e-6)


def test_bad_arguments(tmp_path):
    with pytest.raises(UserError, match=r"two images or more, to count active units\. Given: 0"):
        TensorBoard(tmp_path, binary(1)[:0])
    with pytest.raises(UserError, match="every must be a whole number, 1 or more"):
        TensorBoard(tmp_path, binary(2), every=0)
    with pytest.raises(UserError, match=r"method is one of pca, tsne\. Given: 'umap'"):
        TensorBoard(tmp_path, binary(5), codes="umap")
    with pytest.raises(UserError, match=r"pca needs 3 codes or more\. Given: 2"):
        TensorBoard(tmp_path, binary(2), codes="pca")
    with pytest.raises(UserError, match=r"labels has one for each x\. Given: 4 for 5"):
        TensorBoard(tmp_path, binary(5), labels=[0, 1, 2, 3])
