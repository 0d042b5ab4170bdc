"""Progressive growing: a VAE learns sprites at 16x16, then at 32x32, then at 64x64, with the weights that it has.

    python examples/progressive_growing.py            # a minute on two cores
    python examples/progressive_growing.py runs/grown --examples 20000 --epochs 10

The model is described at its final size. `stages` gives the same model without its first stages, for images halved once
or twice; `inherit` hands the weights on, and at first the grown model draws exactly what the smaller one drew, each
pixel repeated. Then the new stage fades in. Karras et al. 2018, https://arxiv.org/abs/1710.10196.

Prints the ELBO of held-out sprites after each stage, in nats per image and per pixel: images of another size are other
data, so that the first cannot be compared between stages. Writes `growing.png`: a row of the same codes for each stage.
"""

import argparse
from pathlib import Path

import keras
import numpy as np

from keras_vae import data, plots
from keras_vae.models import VAE
from keras_vae.models.parts.growing import Stage, inherit, stages


def described(fade_steps: int) -> VAE:
    """The model at its final size: three stages, the first of which is next to images of 64x64."""
    network = {"name": "growing", "filters": (8, 16, 32), "dense": 64, "fade_steps": fade_steps}
    return VAE((64, 64, 1), latent_dim=8, encoder=network, decoder=network, likelihood="bernoulli")


def repeated(images: np.ndarray, times: int) -> np.ndarray:
    """Images with each pixel written `times` times in both directions."""
    return images.repeat(times, axis=1).repeat(times, axis=2)


def train(stage: Stage, previous: VAE | None, x: np.ndarray, batch_size: int) -> None:
    """Train one stage, from where the one before it ended.

    Raises:
      AssertionError: the grown model does not draw at first what the smaller one did.
    """
    if previous is not None:
        inherit(stage.model, previous)
        z = np.random.default_rng(0).normal(size=(8, previous.latent_dim)).astype("float32")
        np.testing.assert_array_equal(stage.model.decode(z), repeated(previous.decode(z), 2))
    dataset = stage.batches(data.batches(x, batch_size=batch_size, training=True, first_epoch=stage.first_epoch))
    stage.model.compile(keras.optimizers.Adam(2e-3), jit_compile=False, steps_per_execution=10)
    stage.model.fit(dataset, initial_epoch=stage.first_epoch, epochs=stage.end, verbose=0)


def main(arguments: list[str] | None = None) -> list[float]:
    """Train all stages, and return the ELBO after each of them: nats per image of its size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("output", nargs="?", default="runs/growing", type=Path, help="the folder of the picture")
    parser.add_argument("--examples", default=3000, type=int, help="sprites to train on")
    parser.add_argument("--epochs", default=6, type=int, help="of each stage")
    parser.add_argument("--batch-size", default=50, type=int)
    options = parser.parse_args(arguments)

    x = data.load_arrays("sprites", f"train[:{options.examples}]")
    held_out = data.load_arrays("sprites", "test[:200]")
    steps = options.examples // options.batch_size
    model = described(fade_steps=max(1, options.epochs * steps // 2))
    grow_after = (options.epochs, 2 * options.epochs)
    z = np.random.default_rng(1).normal(size=(10, model.latent_dim)).astype("float32")

    previous, elbos, drawn, labels = None, [], [], []
    for stage in stages(model, grow_after, 3 * options.epochs, steps):
        train(stage, previous, x, options.batch_size)
        elbo = float(stage.model.elbo(np.asarray(stage.images(held_out))).mean())
        height, width, _ = stage.model.image_shape
        labels.append(f"{height}x{width}")
        print(f"{labels[-1]}: ELBO {elbo:.2f} nats per image, {elbo / (height * width):.4f} per pixel")
        elbos.append(elbo)
        drawn.append(repeated(stage.model.decode(z), 2**stage.halvings))
        previous = stage.model
    options.output.mkdir(parents=True, exist_ok=True)
    plots.labelled_rows(np.stack(drawn), labels, options.output / "growing.png")
    print(f"Written to {options.output / 'growing.png'}")
    return elbos


if __name__ == "__main__":
    main()
