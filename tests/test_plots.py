"""Pictures: every pixel where it belongs, files that decode, the same bytes each time."""

import os

import matplotlib.image
import numpy as np
import pytest

from keras_vae import plots
from keras_vae.errors import UserError


def images(count, height=2, width=3, channels=1):
    return np.random.default_rng(0).random((count, height, width, channels)).astype("float32")


def test_a_mosaic_against_one_built_by_hand():
    a, b, c = images(3)[..., 0]
    white = np.ones
    expected = np.block([
        [a, white((2, 1)), b],
        [white((1, 7))],
        [c, white((2, 1)), white((2, 3))],
    ])  # fmt: skip
    np.testing.assert_array_equal(plots.mosaic(images(3), columns=2)[..., 0], expected.astype("float32"))


def test_a_mosaic_in_colour_and_with_a_wider_gap():
    x = images(2, channels=3)
    made = plots.mosaic(x, columns=1, gap=2)
    assert made.shape == (2 + 2 + 2, 3, 3)
    np.testing.assert_array_equal(made[:2], x[0])
    np.testing.assert_array_equal(made[4:], x[1])
    assert (made[2:4] == 1).all()


def test_fewer_images_than_columns_are_not_padded():
    assert plots.mosaic(images(2), columns=16).shape == (2, 3 + 1 + 3, 1)


def test_a_picture_needs_an_image(tmp_path):
    with pytest.raises(UserError, match=r"A picture needs at least one image\. Given: none\."):
        plots.grid(images(0), tmp_path / "a.png")
    assert os.listdir(tmp_path) == []


def inside(path):
    """The picture's pixels without the white margin that matplotlib leaves around it."""
    pixels = matplotlib.image.imread(path)[..., :3]
    rows, columns = (np.flatnonzero((pixels < 1).any(axis=(axis, 2))) for axis in (1, 0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_shows_each_image_enlarged(tmp_path, channels):
    """Four blocks of one colour each: sampled in their middles, each has the colour that was given, to 8 bits."""
    levels = np.random.default_rng(1).uniform(0.1, 0.8, (4, 1, 1, channels)).astype("float32")
    x = np.broadcast_to(levels, (4, 28, 28, channels))
    plots.grid(x, tmp_path / "a.png", columns=2)
    pixels = inside(tmp_path / "a.png")
    # 57 image pixels (28 + 1 + 28) at 900 / 450 = 2 dots each; edges of the crop may be off by a dot.
    assert np.abs(np.array(pixels.shape[:2]) - 2 * 57).max() <= 2
    for number, (top, left) in enumerate([(28, 28), (28, 86), (86, 28), (86, 86)]):
        np.testing.assert_allclose(pixels[top, left], np.broadcast_to(levels[number, 0, 0], 3), atol=1 / 255)


def test_large_mosaics_are_nine_hundred_dots_wide(tmp_path):
    plots.grid(np.zeros((64, 28, 28, 1), "float32"), tmp_path / "a.png")
    height, width = inside(tmp_path / "a.png").shape[:2]
    columns, rows = 16 * 29 - 1, 4 * 29 - 1
    assert abs(width - 900) <= 2 and abs(height - 900 * rows / columns) <= 2


def test_reconstructions_lie_below_their_images(tmp_path):
    dark, light = np.full((3, 28, 28, 1), 0.2, "float32"), np.full((3, 28, 28, 1), 0.6, "float32")
    plots.reconstructions(dark, light, tmp_path / "a.png")
    pixels = matplotlib.image.imread(tmp_path / "a.png")
    found = [np.flatnonzero((np.abs(pixels[..., 0] - level) < 1 / 255).sum(axis=1) > 60) for level in (0.2, 0.6)]
    assert found[0].size and found[1].size and found[0].max() < found[1].min()


def test_a_traversal_has_a_label_for_each_row(tmp_path):
    rows = images(6, 28, 28).reshape(2, 3, 28, 28, 1)
    plots.traversal(rows, [4, 1], [1.5, 0.0], tmp_path / "a.png")
    assert matplotlib.image.imread(tmp_path / "a.png").shape[1] > 2 * (3 * 29), "room for labels beside the images"
    with pytest.raises(ValueError, match="shorter"):
        plots.traversal(rows, [4, 1], [1.5], tmp_path / "b.png")
    assert os.listdir(tmp_path) == ["a.png"]


def test_the_same_picture_is_the_same_bytes(tmp_path):
    history = {"loss": [3.0, 2.0], "val_loss": [3.5, 2.5], "beta": [0.1, 4.0]}
    for name in "ab":
        plots.grid(images(5), tmp_path / f"{name}.png")
        plots.curves(history, tmp_path / f"curves-{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "curves-a.png").read_bytes() == (tmp_path / "curves-b.png").read_bytes()


def test_curves_show_training_and_held_out_numbers(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(plots, "save", lambda figure, path: seen.append(figure))
    plots.curves({"loss": [3.0, 2.0, 1.0], "val_loss": [3.5, 2.5, 2.0], "beta": [0.1, 2.0, 4.0]}, tmp_path / "a.png")
    loss, beta = seen[0].axes
    assert (loss.get_title(), beta.get_title()) == ("loss, nats", "beta")
    assert [list(line.get_ydata()) for line in loss.lines] == [[3.0, 2.0, 1.0], [3.5, 2.5, 2.0]]
    assert [list(line.get_xdata()) for line in loss.lines] == [[1, 2, 3]] * 2
    assert [line.get_label() for line in loss.lines] == ["training", "held out"]
    assert [list(line.get_ydata()) for line in beta.lines] == [[0.1, 2.0, 4.0]]
