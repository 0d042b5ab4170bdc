"""The size of a lossless code of test images, with a model's own prior and with the one fitted for it."""

from keras_vae import zoo
from keras_vae.tasks.compression import CodeLength, code_length
from keras_vae.zoo.held_out import HeldOut


def code_lengths(subject: HeldOut, samples: int = 100, seed: int = 0) -> dict[str, CodeLength]:
    """Return `keras_vae.tasks.code_length` of the test images: `"own"`, and `"fitted"` where the entry has a prior.

    Args:
      subject: a model of images, with two test images or more.
      samples: importance samples of the least size.
      seed: of the noise.

    Raises:
      UserError: as `keras_vae.tasks.code_length`.
    """
    fitted = zoo.prior(subject.name)
    available = {"own": None} if fitted is None else {"own": None, "fitted": fitted}
    return {
        title: code_length(subject.model, subject.x, samples, seed, subject.condition, prior)
        for title, prior in available.items()
    }
