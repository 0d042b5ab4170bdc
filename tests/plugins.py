"""A package of a third party as an installer leaves it: modules and a dist-info with entry points, in a folder."""

from pathlib import Path

CODE = '''
import keras
import numpy as np
from keras import ops

from keras_vae.backend import tfd
from keras_vae.data.sources import Images
from keras_vae.data.splits import members
from keras_vae.likelihoods.location_scale import Unbounded
from keras_vae.models import VAE
from keras_vae.schedules import Schedule


@keras.saving.register_keras_serializable(package="stranger")
class TiltedVAE(VAE):
    """The ELBO, and a penalty on codes."""

    def __init__(self, tilt=0.1, **kwargs):
        super().__init__(**kwargs)
        self.tilt = tilt

    def terms(self, batch, training):
        terms = super().terms(batch, training)
        return terms._replace(penalty=self.tilt * ops.sum(terms.cache["z"] ** 2, axis=-1))

    def get_config(self):
        return {**super().get_config(), "tilt": self.tilt}


@keras.saving.register_keras_serializable(package="stranger")
class Linear(keras.layers.Layer):
    """One layer of weights."""

    def __init__(self, output_shape, **kwargs):
        super().__init__(**kwargs)
        self.target_shape = tuple(output_shape)
        self.dense = keras.layers.Dense(int(np.prod(output_shape)))

    def build(self, input_shape):
        self.dense.build((input_shape[0], int(np.prod(input_shape[1:]))))

    def call(self, inputs, training=False):
        flat = ops.reshape(inputs, (-1, int(np.prod(inputs.shape[1:]))))
        return ops.reshape(self.dense(flat), (-1, *self.target_shape))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.target_shape)


@keras.saving.register_keras_serializable(package="stranger")
class Cauchy(Unbounded):
    """Tails of a power."""

    family, parameter, power = tfd.Cauchy, "log_scale", 1.0


class Halved(Schedule):
    def __call__(self, step):
        return ops.convert_to_tensor(0.5, "float32")


def rings(split=None, count=200):
    generator = np.random.default_rng(0)
    angle = generator.uniform(0, 2 * np.pi, count)
    x = np.stack([np.cos(angle), np.sin(angle), angle], -1).astype("float32")
    return Images(x[members(generator.random(count), split)], None)
'''
ENTRY_POINTS = """
[keras_vae.models]
TiltedVAE = stranger:TiltedVAE
BrokenVAE = stranger.nowhere:BrokenVAE

[keras_vae.encoders]
linear = stranger:Linear

[keras_vae.likelihoods]
cauchy = stranger:Cauchy

[keras_vae.schedules]
halved = stranger:Halved

[keras_vae.sources]
rings = stranger:rings
"""
RECIPE = """
summary = "A model, an encoder, a likelihood, a schedule and data of another package."
[model]
class = "TiltedVAE"
tilt = 0.2
x_shape = [3]
latent_dim = 2
encoder = "linear"
decoder = { name = "mlp", hidden = [8] }
likelihood = { name = "cauchy", standardize = true }
beta = { name = "halved" }
[data]
source = "rings"
count = 150
[training]
epochs = 1
batch_size = 20
jit_compile = false
[evaluation]
samples = 2
overview = false
"""


def install(folder: Path) -> Path:
    """Write the package and its dist-info into a folder, which is put on the path; return the folder."""
    info = folder / "stranger-1.2.dist-info"
    for path in (folder / "stranger", info):
        path.mkdir(parents=True)
    files = {
        folder / "stranger/__init__.py": CODE,
        info / "METADATA": "Metadata-Version: 2.1\nName: stranger\nVersion: 1.2\n",
        info / "WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        info / "entry_points.txt": ENTRY_POINTS,
        info / "INSTALLER": "a test\n",
    }
    for path, text in files.items():
        path.write_text(text)
    (info / "RECORD").write_text("".join(f"{path.relative_to(folder)},,\n" for path in files))
    return folder
