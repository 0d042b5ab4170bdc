"""How well does a VAE tell other images from its own: of other things, of a class it never saw, of any other class?

The model of the zoo against images of other things, by each score; its recipe, trained anew without one digit at a
time, and on one digit at a time; and a model of Fashion-MNIST against digits, also by the likelihood ratio to models of
the background. Thresholds are set on one half of the normal test images at a false positive rate of 5 %, and judged on
the other half. Fashion-MNIST is that of TFDS (TFDS_DATA_DIR).

    python benchmarks/anomaly.py [--model vae_mnist] [--digits 2000] [--output benchmarks/anomaly.json]
"""

import argparse
import dataclasses
import os
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from keras_vae import data, tasks, zoo
from keras_vae.data.others import OTHERS
from keras_vae.files import write_json
from keras_vae.models import VAE
from keras_vae.tasks.anomaly import SCORES
from keras_vae.zoo import optimizers
from keras_vae.zoo.examples import examples_of
from keras_vae.zoo.loading import build
from keras_vae.zoo.one_class_out import leave_out
from keras_vae.zoo.recipes import Recipe
from keras_vae.zoo.results import PACKAGES, processor

RATE, SAMPLES, SEED = 0.05, 100, 0
EPOCHS = {"without_a_digit": 10, "of_one_digit": 100}  # a digit alone has a tenth of the images
FASHION, MUTATION, BACKGROUNDS, BACKGROUND_EPOCHS = "gated_vae_fashion_mnist", 0.2, 3, 20


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


def by_digit(name: str, digits: int, protocol: str) -> dict:
    """Digit -> score -> detection, of models trained without that digit, or on it alone."""
    alone = protocol == "of_one_digit"
    judged = leave_out(name, None, SCORES, EPOCHS[protocol], SAMPLES, RATE, digits, SEED, alone)
    return {
        str(digit): {score: each.detection._asdict() for score, each in scores.items()}
        for digit, scores in judged.items()
    }


def background(recipe: Recipe, seed: int) -> VAE:
    """The model of a recipe, trained on its images with pixels replaced at random."""
    training = dataclasses.replace(recipe.training, seed=seed)
    model, x = build(dataclasses.replace(recipe, training=training)), examples_of(recipe, recipe.data.train).images
    steps = BACKGROUND_EPOCHS * (len(x) // training.batch_size)
    model.compile(optimizers.from_spec(training.optimizer, lambda: steps))
    mutated = tasks.mutated(x, MUTATION, seed=seed)
    batches = data.batches(mutated, batch_size=training.batch_size, training=True, seed=seed)
    model.fit(batches, epochs=BACKGROUND_EPOCHS, verbose=0)
    return model


def fashion_against_digits(digits: int) -> dict:
    """Score -> how well a model of Fashion-MNIST tells digits from its own; of the ratio, for each background."""
    model, recipe = zoo.load(FASHION), zoo.card(FASHION).recipe
    normal, strange = examples_of(recipe).images[:digits], examples_of(zoo.card("vae_mnist").recipe).images[:digits]

    def detection(score: Callable[[np.ndarray], np.ndarray]) -> dict:
        first, second, others = (score(x) for x in (normal[::2], normal[1::2], strange))
        return tasks.judge(first, second, others, RATE).detection._asdict()

    plain = {each: detection(partial(tasks.anomaly_scores, model, score=each, samples=SAMPLES)) for each in SCORES}
    ratios = []
    for seed in range(BACKGROUNDS):
        ratio = partial(tasks.likelihood_ratio, model, background(recipe, seed), samples=SAMPLES)
        ratios.append(detection(ratio))
        print(f"background {seed}: AUROC {ratios[-1]['auroc']:.3f}", flush=True)
    return {
        "model": FASHION, "mutation": MUTATION, "epochs": BACKGROUND_EPOCHS, "scores": plain, "likelihood_ratio": ratios
    }  # fmt: skip


def markdown(results: dict) -> str:
    """A table of the areas under the ROC curve, each with its standard error, for the documentation."""
    lines = [f"| strange images | {' | '.join(f'AUROC by {score}' for score in SCORES)} |", "| --- |" + " ---: |" * 3]
    for other, scores in results["against"].items():
        lines.append(f"| {other.replace('_', ' ')} | {' | '.join(map(_area, (scores[score] for score in SCORES)))} |")
    titles = {"without_a_digit": "a digit that it never saw", "of_one_digit": "all digits but the one that it saw"}
    for protocol, title in titles.items():
        areas = [[each[score]["auroc"] for each in results[protocol].values()] for score in SCORES]
        cells = [
            f"{np.mean(each):.3f} ± {np.std(each, ddof=1):.3f} ({min(each):.3f} to {max(each):.3f})" for each in areas
        ]
        lines.append(f"| {title}: mean ± deviation over ten (range) | {' | '.join(cells)} |")
    rates = [scores[score]["false_positive_rate"] for scores in results["against"].values() for score in SCORES]
    lines += [
        "",
        f"`{results['model']}` against {results['digits'] // 2:,} test digits that no threshold was set on; "
        f"{results['samples']} importance samples. At a threshold for {results['rate']:.0%} false alarms, set on as "
        f"many others, there were {min(rates):.1%} to {max(rates):.1%}. Its recipe was trained anew without a digit, "
        f"{results['epochs']['without_a_digit']} epochs, and on one digit alone, {results['epochs']['of_one_digit']} "
        f"epochs, ten times each.",
        "",
        "| digits, by a model of Fashion-MNIST | AUROC |",
        "| --- | ---: |",
    ]
    fashion = results["fashion"]
    lines += [f"| {score} | {_area(fashion['scores'][score])} |" for score in SCORES]
    areas = [each["auroc"] for each in fashion["likelihood_ratio"]]
    lines += [
        f"| likelihood ratio: mean ± deviation over {len(areas)} backgrounds | {_spread(areas)} |",
        "",
        f"`{fashion['model']}` against {results['digits']:,} binarised test digits. A background is its recipe, "
        f"{fashion['epochs']} epochs on images of which {fashion['mutation']:.0%} of the pixels were replaced.",
    ]
    return "\n".join(lines)


def _area(detection: dict) -> str:
    return f"{detection['auroc']:.3f} ± {detection['auroc_standard_error']:.3f}"


def _spread(areas: list[float]) -> str:
    return f"{np.mean(areas):.3f} ± {np.std(areas, ddof=1):.3f}"


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="vae_mnist")
    parser.add_argument("--digits", type=int, default=2000)
    parser.add_argument("--output")
    words = parser.parse_args()
    start = time.perf_counter()
    results = {
        "model": words.model, "digits": words.digits, "samples": SAMPLES, "rate": RATE, "seed": SEED, "epochs": EPOCHS,
        "against": against_others(words.model, words.digits),
        **{protocol: by_digit(words.model, words.digits, protocol) for protocol in EPOCHS},
        "fashion": fashion_against_digits(words.digits),
        "seconds": round(time.perf_counter() - start, 1),
        "machine": {"processor": processor(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in PACKAGES},
    }  # fmt: skip
    print(markdown(results))
    if words.output:
        write_json(words.output, results)


if __name__ == "__main__":
    main()
