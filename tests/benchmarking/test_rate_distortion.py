"""Rate and distortion of the zoo: which entries are of one network, and that the two sum to -ELBO."""

import pytest
from PIL import Image

from keras_vae import zoo
from tests.benchmarking.programs import program

rate_distortion = program("rate_distortion")


def said_in(path):
    """The description in a PNG."""
    with Image.open(path) as picture:
        return picture.info["Description"]


def test_entries_of_one_network_by_rate():
    points = rate_distortion.points()
    assert [point.rate for point in points] == sorted(point.rate for point in points)
    assert {"vae_mnist"} <= {point.name for point in points}
    assert not {"gated_vae_mnist", "tanh_vae_mnist"} & {point.name for point in points}, "of other networks"
    for point in points:
        elbo = zoo.card(point.name).results["metrics"]["elbo"]["value"]
        assert -point.rate - point.distortion == pytest.approx(elbo, abs=1e-3)


def test_the_table_and_the_picture(tmp_path):
    points = [
        rate_distortion.Point("vae_mnist", 24.0, 66.0, (0.05, 0.2), -86.0, 16),
        rate_distortion.Point("beta_vae_mnist", 12.0, 95.0, (0.05, 0.2), -97.0, 11),
    ]
    assert "| 24.00 ± 0.05 | 66.00 ± 0.20 | -90.00 | -86.00 | 16 |" in rate_distortion.markdown(points)
    rate_distortion.draw(points, tmp_path / "picture.png")
    assert said_in(tmp_path / "picture.png") == rate_distortion.markdown(points)


def test_the_picture_is_of_the_points():
    """`python benchmarks/rate_distortion.py` would draw the same."""
    assert said_in(rate_distortion.PICTURE) == rate_distortion.markdown(rate_distortion.points())
