"""Study files for tests, and runs that are states without a training."""

from tests import toy_runs

STUDY = """
recipe = "toy.toml"
metrics = ["metrics.elbo", "metrics.squared_error"]
seeds = 2
{options}

[[space]]
model.latent_dim = [2, 3]
{space}
"""


def write(folder, options="", space="", changes=None):
    """Write a study, its options and further lines of its space, and the toy recipe; return the path of the study."""
    toy_runs.write_recipe(folder / "toy.toml", changes)
    path = folder / "study.toml"
    path.write_text(STUDY.format(options=options, space=space), encoding="utf-8")
    return path


def finished(value, *curve):
    """The state of a finished run: its ELBO, and the curve of its validation."""
    from keras_vae.sweeps.progress import State

    results = {"metrics": {"elbo": {"value": value}, "squared_error": {"value": 1.0}}}
    return State(len(curve), {"val_elbo": curve}, results)
