"""Which epoch is the best, and when a run is over: functions of its history."""

import pytest

from keras_vae.zoo.stopping import best_epoch, is_over


@pytest.mark.parametrize(
    ("history", "best"),
    [
        ({}, 0),
        ({"val_elbo": [-3.0, -1.0, -2.0], "val_loss": [9.0, 8.0, 7.0]}, 2),  # a loss falls while beta does
        ({"val_elbo": [-1.0, -1.0]}, 1),
        ({"val_elbo": [-1.0, -2.0, -3.0], "val_iw_bound": [-3.0, -2.0, -1.0]}, 3),
        ({"loss": [1.0, 2.0], "val_loss": [2.0, 1.0]}, 2),
    ],
)
def test_the_best_epoch(history, best):
    assert best_epoch(history) == best


def test_it_is_over_after_patience_epochs_without_a_better_one():
    elbos = [-5.0, -3.0, -4.0, -3.5, -3.2]
    over = [is_over({"val_elbo": elbos[:count], "loss": elbos[:count]}, 2) for count in range(6)]
    assert over == [False, False, False, False, True, True]
    assert not is_over({"val_elbo": elbos}, None) and not is_over({}, 1)
