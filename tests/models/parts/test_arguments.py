"""The typed arguments are those of `VAE` and of a layer, and a variant passes on those that it does not reject."""

import inspect

import pytest

from keras_vae.models import MODELS, VAE
from keras_vae.models.parts.arguments import VAEArguments
from keras_vae.networks.arguments import LayerArguments

ALL = set(VAEArguments.__annotations__)


def parameters(cls):
    return inspect.signature(cls.__init__).parameters


def test_they_are_the_arguments_of_a_vae():
    named = {name for name, parameter in parameters(VAE).items() if parameter.kind != parameter.VAR_KEYWORD}
    assert named - {"self"} | set(LayerArguments.__annotations__) == ALL


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"VAE"}))
def test_a_variant_passes_on_what_it_neither_rejects_nor_takes(name):
    """AE has no constructor of its own, so that its type is VAE's, which is wider."""
    cls = MODELS[name]
    if "__init__" not in vars(cls):
        return
    typed = set(parameters(cls)["kwargs"].annotation.__args__[0].__annotations__)
    rejected = set(cls.rejects) | ({"free_bits_on", "free_bits_group"} if "free_bits" in cls.rejects else set())
    assert typed == ALL - rejected - set(parameters(cls))
