"""Every registered model has a case, and no case is left of a model that is gone."""

import inspect
import re
import sys

import pytest

import keras_vae.models
from keras_vae.core import VAE
from keras_vae.errors import UserError
from keras_vae.models import MODELS
from tests.conformance.cases import CASES, every_model

# What the sentence of a docstring that names what is logged must say of it: its unit, or what it is.
UNITS = {
    "accuracy": "on labelled images",  # a share
    "capacity": "nats",
    "code_length": "|z|**2 / 2",  # squares of the code, as `commitment`
    "commitment": "**2",
    "dimension_kl": "nats",
    "dip": "a number of the batch",  # of covariances, squared
    "feature_log_px": "-llike",  # nats, by the formula of llike
    "fooling": "nats",
    "iw_bound": "nats",
    "mmd": "without unit",
    "mutual_information": "nats",
    "perplexity": "how many",
    "regulariser": "`regulariser`, R",  # the term of the equation above it
    "total_correlation": "nats",
}


def test_cases_and_registered_models_are_the_same():
    assert set(CASES) == set(MODELS)


def test_every_exported_variant_is_registered_under_its_name():
    exported = {name: value for name, value in vars(keras_vae.models).items() if isinstance(value, type)}
    assert {name: value for name, value in exported.items() if issubclass(value, VAE)} == MODELS
    assert all(cls.__name__ == name for name, cls in MODELS.items())


def test_concrete_models_are_final_and_the_engine_is_not_touched():
    """Abstract or final: a registered variant derives from `VAE` or an abstract base, never from another variant."""
    for cls in MODELS.values():
        parents = [base for base in cls.__mro__[1:] if issubclass(base, VAE) and base is not VAE]
        assert not set(parents) & set(MODELS.values())
        for parent in parents:
            with pytest.raises(UserError, match=rf"{parent.__name__} is an abstract base.*Use VQVAE"):
                parent()
        assert not {"train_step", "test_step", "fit", "evaluate"} & set(vars(cls)) or cls is VAE


@every_model
def test_a_variant_is_one_file_whose_docstring_names_the_equation(name):
    cls = MODELS[name]
    module = sys.modules[cls.__module__]
    assert [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == cls.__module__
            and issubclass(each, VAE)] == [cls]  # fmt: skip
    text = inspect.getdoc(cls)
    assert "https://" in text and re.search(r"(?i)(equations?|algorithm|section) \d", text), text
    for logged in cls.metric_names:
        said = [each for each in re.split(r"\.\s", text) if f"`{logged}`" in each]
        assert any(UNITS[logged] in " ".join(each.split()) for each in said), f"{name} must say the unit of {logged}"
    described = re.findall(r"^  (\w+)[,:]", text.split("Args:")[1].split("Raises:")[0], re.M)
    taken = set(inspect.signature(cls).parameters) | set(inspect.signature(VAE).parameters)
    assert set(described) <= taken, "described, and gone"
