# TensorFlow Probability declares no types: its members are unknown, and `keras_vae.backend` can hand its modules on.
from . import bijectors as bijectors
from . import distributions as distributions
from . import mcmc as mcmc
