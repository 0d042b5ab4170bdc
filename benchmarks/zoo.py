"""Measure trained models of the zoo anew, and rewrite their results, cards and pictures; weights stay as they are.

python benchmarks/zoo.py [PATTERN [METRIC ...]]

For when something new is measured, or drawn. A METRIC is one of the further numbers, such as latent.kl_split: then only
these are measured. Training again is `keras-vae train NAME --output zoo/NAME --overwrite`.
"""

import sys


def main(pattern: str = "*", *further: str) -> None:
    """Measure the models whose names match a glob: everything, or only some further metrics."""
    from keras_vae import zoo
    from keras_vae.zoo import training

    for name in zoo.names(pattern):
        metrics = training.measure_again(name, further)["metrics"]
        print(name, ", ".join(f"{metric} {row['value']:.4f}" for metric, row in metrics.items()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
