"""What a card shows of a code: dimensions that move one at a time, or where they tell little, ways between images."""

import numpy as np
import pytest

from keras_vae import plots, tasks
from keras_vae.models import VAE
from keras_vae.zoo import pictures
from keras_vae.zoo.examples import Examples
from tests import toys
from tests.toys import SHAPE, binary

IMAGES = binary(count=40)


def model_of(latent_dim: int, used: int) -> VAE:
    """A VAE of which so many dimensions have a code: of the others q(z|x) is N(0, I)."""
    model = toys.toy(latent_dim=latent_dim)
    kernel = next(weight for weight in model.encoder.weights if weight.shape == (8, 2 * latent_dim))
    values = np.zeros((8, 2, latent_dim))  # of means, and of log variances
    values[:, 0, :used] = np.random.default_rng(0).normal(size=(8, 1))  # dimensions of alike shares
    kernel.assign(values.reshape(kernel.shape))
    return model


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """`drawn(model)`: the file that was written, the rows of the picture, and the labels of rows and columns."""

    def draw(model):
        calls = []
        for name in ("labelled_rows", "rows"):
            original = getattr(plots, name)

            def recording(images, *arguments, original=original):
                calls.append((images, *arguments))
                return original(images, *arguments)

            monkeypatch.setattr(plots, name, recording)
        file = pictures._of_codes(tmp_path, model, Examples(IMAGES, None))
        assert (tmp_path / file).read_bytes().startswith(b"\x89PNG") and len(calls) == 1
        return file, *calls[0]

    return draw


def test_a_traversal_has_its_values_and_no_dimension_that_is_not_in_use(drawn):
    file, images, labels, _, columns = drawn(model_of(6, used=3))
    assert file == "traversal.png" and images.shape[:2] == (3, 11)
    assert sorted(label.split()[0] for label in labels) == ["z0", "z1", "z2"]
    assert columns[0] == "-3" and columns[-1] == "+3"


def test_of_a_code_that_is_not_used_one_dimension_is_shown(drawn):
    file, images, *_ = drawn(model_of(6, used=0))
    assert file == "traversal.png" and images.shape[:2] == (1, 11)


def test_where_ten_dimensions_tell_little_there_are_interpolations(drawn):
    """All of 64 dimensions have alike shares; the ends of a row are the reconstructions of images of either half."""
    model = model_of(64, used=64)
    file, images, _ = drawn(model)
    assert file == "interpolation.png" and images.shape == (8, 11, *SHAPE)
    starts = np.linspace(0, 19, 8).round().astype(int)
    np.testing.assert_allclose(images[:, 0], model.reconstruct(IMAGES[starts]), atol=1e-5)
    np.testing.assert_allclose(images[:, -1], model.reconstruct(IMAGES[starts + 20]), atol=1e-5)
    np.testing.assert_allclose(images, tasks.interpolate(model, IMAGES[starts], IMAGES[starts + 20]), atol=1e-6)
