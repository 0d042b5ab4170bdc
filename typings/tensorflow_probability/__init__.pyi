"""TensorFlow Probability declares no types: this is the part that this project derives classes from."""

from typing import Any

from . import bijectors as bijectors
from . import distributions as distributions
from . import mcmc as mcmc

def __getattr__(name: str) -> Any: ...
