"""Figures of a model as Python makes them: the arrays are those of the tasks, and what does not apply is refused."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from keras_vae import tasks
from keras_vae.errors import NotApplicable, UserError
from keras_vae.models import CVAE, VAE, VQVAE, SemiSupervisedVAE
from keras_vae.pages import figures, model_report
from keras_vae.zoo.held_out import HeldOut
from tests import toys

COUNT = 12


@pytest.fixture(scope="module")
def subject():
    """A toy model with images of two classes, no files and no zoo."""
    model = toys.toy(VAE, latent_dim=3)
    return HeldOut("toy", model, toys.binary(COUNT), None, np.arange(COUNT) % 2)


def card(parts, kind="image"):
    return SimpleNamespace(results={"metrics": {"kl": {"parts": parts}}}, kind=kind)


def test_a_part_of_the_examples_keeps_what_belongs_together(subject):
    conditional = dataclasses.replace(subject, condition=np.arange(COUNT))
    for part in (slice(3, 7), np.array([5, 2])):
        some = conditional[part]
        np.testing.assert_array_equal(some.x, subject.x[part])
        np.testing.assert_array_equal(some.condition, np.arange(COUNT)[part])
        np.testing.assert_array_equal(some.labels, subject.classes[part])
    assert len(subject[:5]) == 5 and subject[:5].condition is None
    with pytest.raises(UserError, match=r"one label for each image\. Given: those of toy"):
        _ = dataclasses.replace(subject, classes=None).labels


def test_an_interpolation_has_its_images_at_the_ends(subject):
    drawing = figures.interpolation(subject, count=2, steps=3)
    np.testing.assert_allclose(drawing.array, tasks.interpolate(subject.model, subject.x[:2], subject.x[2:4], 3))
    texts = [text.get_text() for text in drawing.figure.axes[0].texts]
    assert texts[:5] == ["image", "0", "0.5", "1", "image"]
    with pytest.raises(NotApplicable, match=r"7 take 14\. Given: 12"):
        figures.interpolation(subject, count=7)


def test_the_plane_is_of_the_most_informative_dimensions(subject):
    importance, _ = tasks.traversal.informative(subject.model, subject.x)
    first, second = np.argsort(-importance)[:2].tolist()
    drawing = figures.latent_plane(subject, side=2)
    np.testing.assert_array_equal(drawing.array, tasks.latent_plane(subject.model, None, 2, (first, second)))
    assert f"z{first} to the right, z{second} upwards" in [text.get_text() for text in drawing.figure.axes[0].texts]


def test_bars_of_the_kl_are_sorted_and_named_by_their_dimension(subject):
    axes = figures.kl_bars(card([0.5, 2.0, 1.0]), subject).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [2.0, 1.0, 0.5]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["z1", "z2", "z0"]
    with pytest.raises(NotApplicable):
        figures.kl_bars(card([1.0]), subject)


def test_half_of_an_image_is_shown_as_missing(subject):
    drawing = figures.imputation(subject[:2], "left", steps=2)
    np.testing.assert_array_equal(drawing.array[:, :, 2:], subject.x[:2, :, 2:])
    assert not np.isin(drawing.array[:, :, :2], (0, 1)).all(), "a mean, where nothing is seen"


def test_a_report_has_the_figures_that_apply(subject, tmp_path, monkeypatch):
    """Of a code of three dimensions there is no plane, and of real numbers no codebook; files and captions agree."""
    monkeypatch.setattr(figures, "nearest_training_images", lambda _: figures.interpolation(subject, 1))
    captions = model_report.write_figures(tmp_path, card([0.5, 2.0, 1.0]), subject)
    assert list(captions) == ["kl.png", "interpolation.png", "nearest.png", "anomalies.png", "codes.png"]
    assert sorted(captions) == sorted(path.name for path in tmp_path.iterdir())
    assert captions["codes.png"] == "Codes of 12 test images, by class, projected to the plane"


@pytest.mark.parametrize("cls", [CVAE, SemiSupervisedVAE])
def test_the_plane_of_a_conditional_model_is_of_the_first_images_class(cls, tmp_path, monkeypatch):
    labels, plane, asked = 2 - np.arange(COUNT) % 3, figures.latent_plane, []
    subject = HeldOut("toy", toys.toy(cls, latent_dim=2, num_classes=3), toys.binary(COUNT), labels, labels)
    monkeypatch.setattr(figures, "nearest_training_images", lambda _: figures.interpolation(subject, 1))
    monkeypatch.setattr(figures, "latent_plane", lambda of, label: asked.append(label) or plane(of, 3, label=label))
    captions = model_report.write_figures(tmp_path, card([0.5, 2.0]), subject)
    assert asked == [2] and (tmp_path / "manifold.png").exists()
    assert captions["manifold.png"].startswith("The plane of the code, of the first test image's class: equal")


def test_a_codebook_is_drawn_of_integer_codes_only(subject):
    with pytest.raises(NotApplicable, match="integer codes"):
        figures.codebook(subject)
    model = toys.toy(VQVAE, latent_dim=None, code_shape=(2, 2), entries=5, embedding_dim=3)
    axes = figures.codebook(dataclasses.replace(subject, model=model)).axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    assert len(heights) == 5 and sum(heights) == 4 * COUNT and heights == sorted(heights, reverse=True)
