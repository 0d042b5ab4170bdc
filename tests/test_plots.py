"""Figures: every pixel where it belongs, files that decode, the same bytes each time."""

import os
import textwrap

import matplotlib.image
import numpy as np
import pytest

from keras_vae import plots
from keras_vae.errors import UserError
from keras_vae.tasks import judge
from tests import toy_runs


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


def test_pyplot_is_left_alone(tmp_path):
    """A notebook's backend stays what it was, and no figure is left open in pyplot."""
    script = """
        import matplotlib, sys
        matplotlib.use("svg")
        from keras_vae import plots
        assert "matplotlib.pyplot" not in sys.modules
        import numpy as np
        figure = plots.grid(np.zeros((2, 3, 3, 1), "float32"))
        plots.curves({"loss": [2.0, 1.0]}, "curves.png")
        plots.save(figure, "grid.png")
        assert matplotlib.get_backend() == "svg", matplotlib.get_backend()
        import matplotlib.pyplot
        assert matplotlib.pyplot.get_fignums() == []
    """
    done = toy_runs.python(["-c", textwrap.dedent(script)], tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path)) == ["curves.png", "grid.png"]


def judged():
    return judge(np.arange(10.0), np.arange(10.0), np.arange(5.0, 15.0), 0.2)


@pytest.mark.parametrize(
    "draw",
    [
        lambda path=None: plots.grid(images(3), path),
        lambda path=None: plots.reconstructions(images(2), images(2), path),
        lambda path=None: plots.labelled_rows(images(4).reshape(2, 2, 2, 3, 1), ["a", "b"], path),
        lambda path=None: plots.rows(images(4).reshape(2, 2, 2, 3, 1), path),
        lambda path=None: plots.curves({"loss": [2.0, 1.0]}, path),
        lambda path=None: plots.scatter(np.eye(2), path, [0, 1]),
        lambda path=None: plots.bars([2.0, 1.0], path, ["z0", "z1"], "KL, nats"),
        lambda path=None: plots.bars([2.0, 1.0], path),
        lambda path=None: plots.marginals({"a": (np.arange(9.0), np.ones(9)), "b": (np.eye(3)[0], np.eye(3)[1])}, path),
        lambda path=None: plots.series(np.ones((2, 5, 3)), np.zeros((2, 5, 3)), path),
        lambda path=None: plots.detections({"-ELBO, nats": judged()}, path),
        lambda path=None: plots.by_class({0: {"elbo": judged()}, 1: {"elbo": judged()}}, "class", path),
    ],
)
def test_each_plot_returns_its_figure_and_writes_only_where_a_path_is_given(draw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    figure = draw()
    assert os.listdir(tmp_path) == []
    draw(tmp_path / "a.png")
    for name, colours in (("b", 0), ("c", 64)):  # a figure can be saved more than once; lines have a palette
        plots.save(figure, tmp_path / f"{name}.png", colours)
    assert (tmp_path / "a.png").read_bytes() in [(tmp_path / f"{name}.png").read_bytes() for name in "bc"]
    assert matplotlib.image.imread(tmp_path / "c.png").shape[2] == 4


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


def test_labelled_rows_have_a_label_each(tmp_path):
    rows = images(6, 28, 28).reshape(2, 3, 28, 28, 1)
    plots.labelled_rows(rows, ["z4  1.50 nats", "z1  0.00 nats"], tmp_path / "a.png")
    assert matplotlib.image.imread(tmp_path / "a.png").shape[1] > 2 * (3 * 29), "room for labels beside the images"
    with pytest.raises(UserError, match=r"one label for each row\. Given: 1 for 2 rows"):
        plots.labelled_rows(rows, ["z4"], tmp_path / "b.png")
    assert os.listdir(tmp_path) == ["a.png"]


def test_columns_have_labels_above_and_what_is_said_below_is_seen(tmp_path):
    """Each adds dots outside the images: above them, and below."""
    x = np.zeros((2, 3, 28, 28, 1), "float32")
    sizes = {}
    for name, further in {
        "bare": {},
        "above": {"columns": ["-1", "0", "+1"]},
        "below": {"below": "z1 upwards"},
    }.items():
        plots.rows(x, tmp_path / f"{name}.png", **further)
        pixels = matplotlib.image.imread(tmp_path / f"{name}.png")[..., 0]
        rows = np.flatnonzero((pixels < 0.1).sum(axis=1) > 100)  # those of the black images
        sizes[name] = (pixels[: rows[0]] < 0.5).any(), (pixels[rows[-1] + 1 :] < 0.5).any()
    assert sizes == {"bare": (False, False), "above": (True, False), "below": (False, True)}


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
    plots.curves({"critic_loss": [1.0], "kl": [2.0], "perplexity": [3.0]}, tmp_path / "b.png")
    assert [axes.get_title() for axes in seen[1].axes] == ["critic_loss, nats", "kl, nats", "perplexity"]
    assert [list(line.get_ydata()) for line in loss.lines] == [[3.0, 2.0, 1.0], [3.5, 2.5, 2.0]]
    assert [list(line.get_xdata()) for line in loss.lines] == [[1, 2, 3]] * 2
    assert [line.get_label() for line in loss.lines] == ["training", "held out"]
    assert [list(line.get_ydata()) for line in beta.lines] == [[0.1, 2.0, 4.0]]


def test_marginals_leave_missing_numbers_out_and_series_end_with_their_data():
    real = np.array([0.0, 1, 1, 2, np.nan])
    figure = plots.marginals({"count": (real, np.array([2.0, 2, 9, 0, 1]))})
    heights = [patch.get_xy()[:, 1].max() for patch in figure.axes[0].patches]
    assert figure.axes[0].get_title() == "count" and heights == [0.5, 0.6], "two of four, and three of five"
    for large in (np.full(9, 2.0**53), np.arange(9) + 2.0**53, np.full(9, 2.0**30, "float32"), -np.full(9, 1e300)):
        panel = plots.marginals({"id": (large, large[:4])}).axes[0]
        areas = [(patch.get_xy()[:, 0].min(), patch.get_xy()[:, 0].max()) for patch in panel.patches]
        assert all(low <= large.min() and large.max() <= high and low < high for low, high in areas), "and ends"
    x = np.array([[[0.0], [2.0], [np.nan]]])
    (line, dashed) = plots.series(x, np.full((1, 3, 1), 3.0)).axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), [-1, 1, np.nan])
    np.testing.assert_array_equal(dashed.get_ydata(), [2, 2, np.nan])
    band = np.full((1, 3, 1), 1.0), np.full((1, 3, 1), 5.0)  # standardised, 0 and 4
    (axes,) = plots.series(x, np.full((1, 3, 1), 3.0), bands=band, starts=[1]).axes
    assert list(axes.lines[-1].get_xdata()) == [1, 1], "where the forecast starts"
    corners = axes.collections[0].get_paths()[0].vertices
    assert (corners.min(axis=0) == [0, 0]).all() and (corners.max(axis=0) == [1, 4]).all()


def figures(monkeypatch):
    seen = []
    monkeypatch.setattr(plots, "save", lambda figure, path: seen.append(figure))
    return seen


def test_rows_are_laid_out_as_given(tmp_path):
    """Two rows of three levels: each block of the picture has the level of its place."""
    levels = np.linspace(0.1, 0.8, 6).reshape(2, 3, 1, 1, 1).astype("float32")
    plots.rows(np.broadcast_to(levels, (2, 3, 28, 28, 1)), tmp_path / "a.png", gap=0)
    pixels = inside(tmp_path / "a.png")
    height, width = pixels.shape[0] / 2, pixels.shape[1] / 3
    found = [[pixels[int((r + 0.5) * height), int((c + 0.5) * width), 0] for c in range(3)] for r in range(2)]
    np.testing.assert_allclose(found, levels[..., 0, 0, 0], rtol=0, atol=2 / 255)


def test_each_class_has_its_points_and_a_style_of_its_own(tmp_path, monkeypatch):
    seen = figures(monkeypatch)
    points, labels = np.random.default_rng(0).random((50, 2)), np.arange(50) % 10
    plots.scatter(points, tmp_path / "a.png", labels)
    drawn = seen[0].axes[0].collections
    assert len(drawn) == 10
    for label, each in enumerate(drawn):
        np.testing.assert_allclose(each.get_offsets(), points[labels == label])
    styles = {(tuple(each.get_facecolor()[0]), each.get_paths()[0].vertices.tobytes()) for each in drawn}
    assert len(styles) == 10


def test_bars_have_their_heights(tmp_path, monkeypatch):
    seen = figures(monkeypatch)
    plots.bars([3.0, 1.0], tmp_path / "a.png", ["z1", "z0"], "KL, nats", line=0.5)
    axes = seen[0].axes[0]
    assert [bar.get_height() for bar in axes.patches] == [3.0, 1.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["z1", "z0"]


def test_the_point_on_the_curve_is_that_of_the_threshold(tmp_path, monkeypatch):
    seen = figures(monkeypatch)
    found = judge(np.arange(10.0), np.arange(10.0), np.arange(5.0, 15.0), 0.2)
    plots.detections({"-ELBO, nats": found, "squared error": found}, tmp_path / "a.png")
    assert [axes.get_xlabel() for axes in seen[0].axes[::3]] == ["-ELBO, nats", "squared error"]
    curve, point = seen[0].axes[1].lines[:2]
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (0.2, 0.7)
    area = np.trapezoid(curve.get_ydata(), curve.get_xdata())
    assert area == pytest.approx(np.mean([(a > n) + 0.5 * (a == n) for a in range(5, 15) for n in range(10)]))


def test_calibration_compares_the_rate_that_is_stated_with_the_one_found(tmp_path, monkeypatch):
    """Scores as those that thresholds were set on, and all of them 3 of 10 higher."""
    seen, scores = figures(monkeypatch), np.arange(100.0)
    for shift in (0.0, 30.0):
        plots.detections({"-ELBO, nats": judge(scores, scores + shift, scores + 50)}, tmp_path / "a.png")
        curve = seen[-1].axes[2].lines[0]
        expected = np.minimum(curve.get_xdata() + shift / 100, 1.0)
        np.testing.assert_allclose(curve.get_ydata(), expected, atol=0.011)


def test_classes_left_out_have_an_area_with_its_error_for_each_score(tmp_path, monkeypatch):
    seen, scores = figures(monkeypatch), np.arange(100.0)
    found = {each: {"elbo": judge(scores, scores, scores + 10 * each), "log_prob": judge(scores, scores + 40, scores)}
             for each in (0, 4, 7)}  # fmt: skip
    plots.by_class(found, "class left out", tmp_path / "a.png")
    left, right = seen[0].axes
    for container, score in zip(left.containers, ("elbo", "log_prob"), strict=True):
        line, _, (bars,) = container
        detections = [each[score].detection for each in found.values()]
        assert list(line.get_ydata()) == [each.auroc for each in detections]
        heights = [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()]
        np.testing.assert_allclose(heights, [each.auroc_standard_error for each in detections])
    assert [label.get_text() for label in left.get_xticklabels()] == ["0", "4", "7"]
    np.testing.assert_allclose(right.lines[1].get_ydata()[20], 0.6, atol=0.011)


def test_curves_show_what_changes_and_the_epochs_in_which_it_is_near_its_end():
    falling = [1000.0, *np.linspace(100, 90, 19)]
    history = {"beta": [1.0] * 20, "loss": falling, "val_loss": [2000.0, *falling[1:]], "kl": np.linspace(0, 1, 20)}
    loss, kl = plots.curves(history).axes
    assert (loss.get_title(), kl.get_title()) == ("loss, nats", "kl, nats")
    assert loss.get_ylim() == pytest.approx((90 - 0.05 * 9.44, 99.44 + 0.05 * 9.44), abs=0.01)
    assert list(loss.lines[0].get_ydata()) == falling
    assert kl.get_ylim()[0] < 0 < 1 < kl.get_ylim()[1]
    assert len(plots.curves({"loss": [2.0, 2.0]}).axes) == 1
    assert len(plots.curves({"loss": [np.nan, 2.0], "kl": [np.nan]}).axes) == 2


def test_curves_of_several_runs_have_their_mean_and_their_extremes():
    figure = plots.spread({"a": [[0.0, 2.0], [4.0, 4.0, 5.0]], "b": [[1.0], [1.0]]}, coloured=1)
    (axes,) = figure.axes
    first, second = axes.lines
    np.testing.assert_array_equal(first.get_xydata(), [[1, 2], [2, 3], [3, 5]])
    band = axes.collections[0].get_paths()[0].vertices
    assert {tuple(corner) for corner in np.asarray(band).tolist()} >= {(1, 0), (2, 2), (3, 5), (1, 4), (2, 4)}
    assert second.get_color() == "lightgrey" and second.get_zorder() < first.get_zorder()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a"]


def test_parallel_coordinates_have_places_of_words_and_logarithms_of_wide_ranges():
    figure = plots.parallel(
        {"class": ["A", "B", "A"], "rate": [0.001, 0.1, 0.01], "beta": [1, 2, None], "elbo": [-3.0, -1.0, -2.0]}
    )
    lines = [line.get_ydata() for line in figure.axes[0].lines[4:]]
    np.testing.assert_allclose(lines, [[0, 0, 0, 0], [1, 1, 0.5, 1], [0, 0.5, 1, 0.5]], atol=1e-12)
    words = {text.get_text() for text in figure.axes[0].texts}
    assert {"A", "B", "0.001", "0.1", "1", "2", "left out", "-3", "-1"} == words


def test_a_matrix_shows_its_numbers():
    figure = plots.matrix(np.array([[1.0, -0.5], [-0.5, 1.0]]), ["metrics.elbo", "x.mig"])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["1.00", "-0.50", "-0.50", "1.00"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["elbo", "mig"]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[1.0, -0.5], [-0.5, 1.0]])
