"""How well does a VAE of digits tell other images from digits, and a digit that it never saw from the others?

The model of the zoo against images of other things, by each score; and its recipe, trained anew for an epoch
without one digit at a time. Thresholds are set on one half of the test digits at a false positive rate of 5 %, and
judged on the other half.

    python benchmarks/anomaly.py [--model vae_mnist] [--epochs 1] [--digits 2000] [--output benchmarks/anomaly.json]
"""

import argparse
import os
import time
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from keras_vae import data, tasks, zoo
from keras_vae.data.others import OTHERS
from keras_vae.files import write_json
from keras_vae.tasks.anomaly import SCORES
from keras_vae.zoo.examples import examples_of
from keras_vae.zoo.one_class_out import leave_out
from keras_vae.zoo.results import PACKAGES, processor

RATE, SAMPLES, SEED = 0.05, 100, 0


def against_others(name: str, digits: int) -> dict:
    """Other images -> score -> how well it tells them from test digits."""
    model, recipe = zoo.load(name), zoo.card(name).recipe
    images = examples_of(recipe).images[:digits]
    first, second = images[::2], images[1::2]
    found: dict = {each: {} for each in (*OTHERS, "upside_down")}
    for score in SCORES:
        set_on, normal = [tasks.anomaly_scores(model, each, score, SAMPLES, SEED) for each in (first, second)]
        for other, scores in found.items():
            strange = (
                second[:, ::-1]
                if other == "upside_down"
                else data.other_images(other, model.image_shape, len(second), model.likelihood_family.levels == 2, SEED)
            )
            values = tasks.anomaly_scores(model, strange, score, SAMPLES, SEED)
            scores[score] = tasks.judge(set_on, normal, values, RATE).detection._asdict()
    return found


def markdown(results: dict) -> str:
    """A table of the areas under the ROC curve, each with its standard error, for the documentation."""
    lines = [f"| strange images | {' | '.join(f'AUROC by {score}' for score in SCORES)} |", "| --- |" + " ---: |" * 3]
    for other, scores in results["against"].items():
        cells = [f"{scores[score]['auroc']:.3f} ± {scores[score]['auroc_standard_error']:.3f}" for score in SCORES]
        lines.append(f"| {other.replace('_', ' ')} | {' | '.join(cells)} |")
    areas = {score: [each[score]["auroc"] for each in results["without_a_digit"].values()] for score in SCORES}
    cells = [f"{np.mean(each):.3f} ({min(each):.3f} to {max(each):.3f})" for each in areas.values()]
    lines.append(f"| a digit that it never saw: mean (range) | {' | '.join(cells)} |")
    found = [each[score] for each in results["against"].values() for score in SCORES]
    rates = [each["false_positive_rate"] for each in found]
    return "\n".join(lines) + (
        f"\n\n`{results['model']}` against {results['digits'] // 2:,} test digits that no threshold was set on; "
        f"{results['samples']} importance samples. At a threshold for {results['rate']:.0%} false alarms, set on as "
        f"many others, there were {min(rates):.1%} to {max(rates):.1%}. Without a digit: its recipe for "
        f"{results['epochs_without_a_digit']} epoch{'s' * (results['epochs_without_a_digit'] > 1)}, ten times."
    )


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="vae_mnist")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--digits", type=int, default=2000)
    parser.add_argument("--output")
    words = parser.parse_args()
    start = time.perf_counter()
    others = against_others(words.model, words.digits)
    left = leave_out(words.model, None, SCORES, words.epochs, SAMPLES, RATE, words.digits, SEED)
    rows = {
        str(digit): {score: each.detection._asdict() for score, each in scores.items()}
        for digit, scores in left.items()
    }
    results = {
        "model": words.model, "digits": words.digits, "samples": SAMPLES, "rate": RATE, "seed": SEED,
        "against": others, "epochs_without_a_digit": words.epochs, "without_a_digit": rows,
        "seconds": round(time.perf_counter() - start, 1),
        "machine": {"processor": processor(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in PACKAGES},
    }  # fmt: skip
    print(markdown(results))
    if words.output:
        write_json(words.output, results)


if __name__ == "__main__":
    main()
