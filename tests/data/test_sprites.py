"""Sprites: what each factor does to the picture, the grid, the splits, and the same bytes everywhere."""

import hashlib

import numpy as np
import pytest

from keras_vae import data
from keras_vae.data import sprites
from keras_vae.errors import UserError
from tests.toys import compiled, mlp

GENERATOR = np.random.default_rng(0)


def some(count=500, **fixed):
    """Random rows of factors, those in `fixed` as given."""
    columns = {name: GENERATOR.integers(size, size=count) for name, size in sprites.FACTORS.items()}
    return np.stack(list((columns | {name: np.full(count, value) for name, value in fixed.items()}).values()), axis=-1)


def moved(factors, **steps):
    names = list(sprites.FACTORS)
    sizes = np.array(list(sprites.FACTORS.values()))
    return (factors + [steps.get(name, 0) for name in names]) % sizes


def test_the_grid_is_that_of_dsprites():
    assert list(sprites.FACTORS.items()) == [("shape", 3), ("scale", 6), ("orientation", 40), ("x", 32), ("y", 32)]
    assert sprites.COUNT == 737_280 == sum(sprites.SIZES.values())
    first = sprites.factors_of([0, 1, 32, 1024, sprites.COUNT - 1])
    assert first.tolist() == [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0], [0, 0, 1, 0, 0], [2, 5, 39, 31, 31]]


def test_images_are_binary_and_shapes_never_cut():
    corners = np.concatenate([some(300, x=x, y=y, scale=5) for x in (0, 31) for y in (0, 31)])
    images = sprites.render(corners)
    assert images.shape == (1200, 64, 64, 1) and images.dtype == np.uint8 and set(np.unique(images)) == {0, 1}
    assert not images[:, [0, -1]].any() and not images[:, :, [0, -1]].any()


@pytest.mark.parametrize(("factor", "axis"), [("x", 2), ("y", 1)])
def test_a_step_of_position_is_one_pixel(factor, axis):
    column = list(sprites.FACTORS).index(factor)
    factors = some()
    factors[:, column] %= 28
    for steps in (1, 3):
        expected = np.roll(sprites.render(factors), steps, axis=axis)
        np.testing.assert_array_equal(sprites.render(moved(factors, **{factor: steps})), expected)


def test_positions_are_even_about_the_middle():
    """A square in the first place and one in the last are each other's mirror image."""
    factors = some(shape=0, orientation=0, x=0, y=4)
    opposite = factors.copy()
    opposite[:, 3:] = 31 - factors[:, 3:]
    np.testing.assert_array_equal(sprites.render(opposite), sprites.render(factors)[:, ::-1, ::-1])


@pytest.mark.parametrize(("shape", "period"), [("square", 10), ("ellipse", 20), ("heart", 40)])
def test_rotations(shape, period):
    """A quarter of a turn turns the picture by exactly that; a square's period is that, an ellipse's half a turn."""
    factors = some(shape=sprites.SHAPES.index(shape), x=16, y=16)
    images = sprites.render(factors)
    np.testing.assert_array_equal(sprites.render(moved(factors, orientation=period)), images)
    # Place 16 is pixel 32, about which pixels 1 to 63 are even.
    quarter = np.rot90(images[:, 1:, 1:], k=-1, axes=(1, 2))
    np.testing.assert_array_equal(sprites.render(moved(factors, orientation=10))[:, 1:, 1:], quarter)
    for steps in range(1, period):
        turned = sprites.render(moved(factors[factors[:, 1] == 5], orientation=steps))
        assert (turned != images[factors[:, 1] == 5]).any((1, 2, 3)).all(), steps


@pytest.mark.parametrize("shape", range(3))
def test_area_grows_with_the_square_of_scale(shape):
    """Over all orientations; a pixel is white or not, so the mean area is within 2 % of the outline's."""
    areas = []
    for scale in range(6):
        factors = some(40, shape=shape, scale=scale)
        factors[:, 2] = np.arange(40)
        areas.append(sprites.render(factors).sum((1, 2, 3)).mean())
    whole = (4 * 10.15**2, np.pi * 14.7 * 8.9, 3.66197 * 10.6**2)[shape]
    np.testing.assert_allclose(areas, whole * np.linspace(0.5, 1, 6) ** 2, rtol=0.02)


def test_the_shapes_are_three():
    images = [sprites.render(np.array([[shape, 5, 0, 16, 16]]))[0, :, :, 0] for shape in range(3)]
    square, ellipse, heart = images
    rows, columns = np.nonzero(square)
    assert np.ptp(rows) == np.ptp(columns) == 20 and square.sum() == 21**2 - 4, "of a corner less than half is covered"
    assert np.ptp(np.nonzero(ellipse)[1]) > 1.5 * np.ptp(np.nonzero(ellipse)[0]), "it lies on its side"
    np.testing.assert_array_equal(heart[:, 1:], heart[:, :0:-1])
    assert np.nonzero(heart)[0].mean() < (np.nonzero(heart)[0].min() + np.nonzero(heart)[0].max()) / 2, "point down"
    assert not any(np.array_equal(a, b) for a, b in ((square, ellipse), (square, heart), (ellipse, heart)))


def test_no_point_lies_on_an_outline():
    """So rounding, which differs from machine to machine by 1e-13 or so, never decides a pixel."""
    assert min(np.abs(sprites.insides(shape, scale)).min() for shape in range(3) for scale in range(6)) > 1e-6


def test_the_bytes_are_the_same_everywhere():
    factors = sprites.split_factors("test")[:200]
    assert hashlib.sha256(factors.astype("<i4").tobytes()).hexdigest() == FACTOR_BYTES
    assert hashlib.sha256(sprites.render(factors).tobytes()).hexdigest() == IMAGE_BYTES


FACTOR_BYTES = "9b6dc9e44a891ad231c4d128a890102ed513b603a3c8a867efb8dd4ca88210aa"
IMAGE_BYTES = "b58b5c965061072db26214d08d6bdf32fdb7e40e0236be24d72b179fa6dadc3b"


def test_splits_hold_the_whole_grid_once():
    splits = {name: sprites.split_factors(name) for name in sprites.SIZES}
    assert {name: len(factors) for name, factors in splits.items()} == sprites.SIZES
    everything = np.concatenate(list(splits.values()))
    places = np.ravel_multi_index(tuple(everything.T), tuple(sprites.FACTORS.values()))
    np.testing.assert_array_equal(np.sort(places), np.arange(sprites.COUNT))
    for factors in splits.values():  # in random order: the first 2000 have every value about as often as the next
        for column, size in zip(factors[:2000].T, sprites.FACTORS.values(), strict=True):
            counts = np.bincount(column, minlength=size)
            assert (np.abs(counts - 2000 / size) < 5 * np.sqrt(2000 / size)).all()


def test_load_draws_what_the_factors_say():
    dataset = data.load("sprites", "validation[:300]", batch_size=128)
    batches = list(dataset.as_numpy_iterator())
    assert [batch["x"].shape for batch in batches] == [(128, 64, 64, 1), (128, 64, 64, 1), (44, 64, 64, 1)]
    assert batches[0]["x"].dtype == "float32" and batches[0]["y"].dtype == "int32"
    y = np.concatenate([batch["y"] for batch in batches])
    np.testing.assert_array_equal(y, sprites.split_factors("validation")[:300])
    np.testing.assert_array_equal(np.concatenate([batch["x"] for batch in batches]), sprites.render(y))
    assert dataset.element_spec["x"].shape == (None, 64, 64, 1)
    np.testing.assert_array_equal(data.load_arrays("sprites", "validation[:300]"), sprites.render(y))


def test_training_on_them_shuffles_images_and_factors_alike():
    dataset = data.load("sprites", "train[:500]", batch_size=100, binarize="dynamic")
    epochs = [list(dataset.as_numpy_iterator()) for _ in range(2)]
    for batches in epochs:
        for batch in batches:
            np.testing.assert_array_equal(batch["x"], sprites.render(batch["y"]))
        order = sprites.split_factors("train")[:500]
        seen = np.concatenate([batch["y"] for batch in batches])
        assert not np.array_equal(seen, order)
        np.testing.assert_array_equal(np.unique(seen, axis=0), np.unique(order, axis=0))
    assert not np.array_equal(epochs[0][0]["y"], epochs[1][0]["y"])


def test_a_model_trains_on_them():
    model = compiled(image_shape=(64, 64, 1), encoder=mlp(), decoder=mlp())
    history = model.fit(data.load("sprites", "train[:256]", batch_size=64), epochs=2, verbose=0).history
    assert history["elbo"][1] > history["elbo"][0]


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ([0, 0, 0, 0, 0], r"whole numbers of shape \(count, 5\): shape, scale, orientation, x, y\. Given: int64 of"),
        ([[0, 0, 0, 0]], r"Given: int64 of shape \(1, 4\)"),
        ([[0.0, 0, 0, 0, 0]], r"Given: float64"),
        ([[3, 0, 0, 0, 0]], r"The factor shape lies from 0 to 2\. Given: values from 3 to 3"),
        ([[0, 0, 40, 0, 0], [0, 0, -1, 0, 0]], r"orientation lies from 0 to 39\. Given: values from -1 to 40"),
    ],
)
def test_factors_that_are_refused(factors, message):
    with pytest.raises(UserError, match=message):
        sprites.render(np.array(factors))


def test_no_factors_are_no_images():
    assert sprites.render(np.zeros((0, 5), "int32")).shape == (0, 64, 64, 1)


def test_what_sprites_do_not_have():
    with pytest.raises(UserError, match=r"split is one of train, validation"):
        data.load("sprites", "all")
    with pytest.raises(UserError, match=r"The slice 'test\[10000:\]' of 'sprites' holds no examples"):
        data.load("sprites", "test[10000:]")
    with pytest.raises(UserError, match=r"dequantize needs grey levels"):
        data.load("sprites", dequantize=True)
    with pytest.raises(UserError, match=r"Unknown dataset 'sprite'\. Did you mean 'sprites'"):
        data.load("sprite")
