"""What TensorFlow Probability says of our distributions where a program runs: nothing."""

import importlib
import pkgutil

import pytest

from keras_vae import distributions, likelihoods, priors, tasks
from keras_vae.backend import tfd

for _package in (distributions, likelihoods, priors, tasks):
    for _module in pkgutil.iter_modules(_package.__path__, f"{_package.__name__}."):
        importlib.import_module(_module.name)


def ours(base=tfd.Distribution):
    for cls in base.__subclasses__():
        if cls.__module__.startswith("keras_vae"):
            yield cls
        yield from ours(cls)


@pytest.mark.parametrize("cls", sorted(set(ours()), key=lambda cls: cls.__qualname__), ids=lambda cls: cls.__qualname__)
def test_a_distribution_of_its_own_arguments_has_properties_of_its_own(cls, caplog):
    """One that inherits those of another logs 30 lines whenever a batch shape is asked for; one without any, none."""
    try:
        cls.parameter_properties()
    except NotImplementedError:
        assert cls._batch_shape is not tfd.Distribution._batch_shape, "then the shape is the class's own"
    assert not caplog.records
