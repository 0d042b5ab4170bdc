"""Every registered model has a case, and no case is left of a model that is gone."""

import keras_vae.models
from keras_vae.core import VAE
from keras_vae.models import MODELS
from tests.conformance.cases import CASES


def test_cases_and_registered_models_are_the_same():
    assert set(CASES) == set(MODELS)


def test_every_exported_variant_is_registered_under_its_name():
    exported = {name: value for name, value in vars(keras_vae.models).items() if isinstance(value, type)}
    assert {name: value for name, value in exported.items() if issubclass(value, VAE)} == MODELS
    assert all(cls.__name__ == name for name, cls in MODELS.items())


def test_inheritance_has_no_third_level_and_the_engine_is_not_touched():
    for cls in MODELS.values():
        assert cls is VAE or cls.__bases__ == (VAE,)
        assert not {"train_step", "test_step", "fit", "evaluate"} & set(vars(cls)) or cls is VAE
