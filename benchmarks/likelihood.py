"""How long does the 5,000-sample log-likelihood of MNIST's 10,000 test digits take?

For a 784-200-200-50 VAE, the model of Burda et al. 2016, its weights untrained: speed does not depend on them. The
rate is measured on `--digits` of the digits, after one block that compiles; fewer than 10,000 are extrapolated, and the
result says so. Beside it: the rate of the decoder's matrix products alone, for as many codes at a time.

    python benchmarks/likelihood.py [--digits 10000] [--samples 5000] [--output benchmarks/likelihood.json]

A result is written only of a machine that had nothing else to do: with `--output`, a load average of more than the
cores at the start is refused. TensorFlow takes all cores, or `TF_NUM_INTRAOP_THREADS` of them.
"""

import argparse
import os
import time
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from keras_vae import data, models
from keras_vae.checks import BLOCK
from keras_vae.core.estimators import chunk_limit
from keras_vae.files import write_json
from keras_vae.zoo.results import PACKAGES, processor

HIDDEN, LATENT, ALL, ALLOWED = (200, 200), 50, 10_000, 600.0


def products_rate(model: models.VAE, repeats: int = 10) -> float:
    """Codes a second through the decoder's matrix products alone, in the chunks that the likelihood decodes."""
    kernels = [variable.value for variable in model.decoder.trainable_variables if len(variable.shape) == 2]
    rows = chunk_limit(model) * BLOCK
    codes = tf.random.stateless_normal((rows, LATENT), (0, 1))

    @tf.function(autograph=False)
    def products() -> list:
        hidden = [codes]
        for kernel in kernels:
            hidden.append(tf.linalg.matmul(hidden[-1], kernel))
        return hidden[1:]

    products()
    start = time.perf_counter()
    for _ in range(repeats):
        products()
    return repeats * rows / (time.perf_counter() - start)


def check_quiet() -> None:
    """Refuse a machine that is busy.

    Raises:
      SystemExit: it is above the number of cores, so that a time would be that of something else too.
    """
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores:
        raise SystemExit(
            f"A result is of a quiet machine: a load average of {cores} at most, the cores. Given: {load:.1f}. Wait, "
            f"or leave --output out to see a number that is not kept."
        )


def sentence(result: dict) -> str:
    """The result in words, for the documentation."""
    machine, kind = result["machine"], "extrapolated" if result["extrapolated"] else "measured"
    return (
        f"log p(x) of MNIST's {ALL:,} test digits by {result['samples']:,} importance samples each, of a "
        f"784-{'-'.join(map(str, HIDDEN))}-{LATENT} model: {result['seconds_for_all_digits'] / 60:.1f} minutes "
        f"({kind}; {machine['processor']}, threads: {machine['threads']}), "
        f"{result['share_of_the_products_rate']:.0%} of the rate of the decoder's matrix products alone."
    )


def measure(digits: int, samples: int) -> dict:
    """Time the likelihood of the first `digits` test digits."""
    load = os.getloadavg()[0]
    network = {"name": "mlp", "hidden": HIDDEN, "activation": "tanh"}
    model: models.VAE = models.VAE(latent_dim=LATENT, encoder=network, decoder=network)
    x = data.load_arrays("mnist", f"test[:{digits}]", "static")
    start = time.perf_counter()
    model.log_prob(x[:1], samples=samples)
    first = time.perf_counter() - start
    start = time.perf_counter()
    mean = float(model.log_prob(x, samples=samples).mean())
    seconds = time.perf_counter() - start
    blocks = -(-digits // BLOCK)  # the last block is filled up
    per_second = blocks * BLOCK * samples / seconds
    products = products_rate(model)
    return {
        "digits": digits,
        "samples": samples,
        "seconds": seconds,
        "seconds_of_the_first_block_with_compilation": first,
        "log_weights_per_second": per_second,
        "decoder_products_per_second": products,
        "share_of_the_products_rate": per_second / products,
        "seconds_for_all_digits": seconds if digits == ALL else -(-ALL // BLOCK) * BLOCK * samples / per_second,
        "extrapolated": digits != ALL,
        "mean_log_prob": mean,
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0) or os.cpu_count(),
            "load_average": load,
        },
        "versions": {name: version(name) for name in PACKAGES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", type=int, default=ALL)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--output", default=None, help="write the result here, as JSON")
    arguments = parser.parse_args()
    if arguments.output:
        check_quiet()
    result = measure(arguments.digits, arguments.samples)
    print(sentence(result))
    print(f"Allowed on 2 cores with nothing else to do: {ALLOWED:.0f} s. Load at the start: "
          f"{result['machine']['load_average']:.1f}.")  # fmt: skip
    if arguments.output:
        write_json(arguments.output, result)


if __name__ == "__main__":
    import pause

    with pause.paused():
        main()
