"""What does a code for a word cost? A VAE of words at several rates, beside GRU language models of the same words.

The study is `examples/words/study.toml`: one VAE, of which more and more of the KL is free. A language model is the
decoder of that VAE without the code: p(x_t|x_{<t}) by an embedding, a gated recurrent unit and a linear layer. There is
one with the units of the decoder, and one with as many parameters as the whole VAE. Both are trained as the runs of the
study are: the same words, epochs, batches and optimizer. Their -log p(x) is exact; that of the VAE is
importance-weighted, an upper bound in expectation. A character is a letter or the end of a word.

    python benchmarks/language_model.py [--output benchmarks/language_model.json]
"""

import argparse
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae.files import write_json

SCHEMA = "keras_vae.language_model/1"
STUDY = Path(__file__).parents[1] / "examples" / "words" / "study.toml"


def parameters(units: int, embedding_dim: int, vocabulary_size: int) -> int:
    """The number of parameters of a language model."""
    recurrence = 3 * units * (units + embedding_dim + 2)
    return (vocabulary_size + 1) * embedding_dim + recurrence + (units + 1) * vocabulary_size


def units_for(count: int, embedding_dim: int, vocabulary_size: int) -> int:
    """The units of the largest language model of at most `count` parameters."""
    units = 1
    while parameters(units + 1, embedding_dim, vocabulary_size) <= count:
        units += 1
    return units


def characters(x: np.ndarray) -> np.ndarray:
    """The number of letters of each word, and its end if it has one: `(batch,)` of tokens `(batch, length)`."""
    return np.minimum((x != 0).sum(axis=-1) + 1, x.shape[-1])


def language_model(run: Path, units: int, embedding_dim: int) -> dict[str, Any]:
    """A language model trained as a run of the study says, measured on the words that the run is measured on."""
    import keras
    from keras import ops

    from keras_vae import data, zoo
    from keras_vae.zoo import optimizers

    recipe = zoo.card(run).recipe
    size, settings = recipe.model.arguments["vocabulary_size"], recipe.training
    keras.utils.set_random_seed(settings.seed)
    model = keras.Sequential([
        keras.layers.Embedding(size + 1, embedding_dim),
        keras.layers.GRU(units, return_sequences=True),
        keras.layers.Dense(size),
    ])  # fmt: skip

    def nats(x: Any, logits: Any) -> Any:
        """-log p(x) of each word, up to and including its end."""
        end = ops.cast(ops.equal(x, 0), "int32")
        counted = ops.cast(ops.equal(ops.cumsum(end, axis=-1) - end, 0), logits.dtype)
        return ops.sum(counted * keras.losses.sparse_categorical_crossentropy(x, logits, from_logits=True), axis=-1)

    def words(split: str) -> tuple[np.ndarray, np.ndarray]:
        """What the model reads, the start first, and what it is to say."""
        x = data.load_arrays("words", split)
        return np.pad(x[:, :-1], ((0, 0), (1, 0)), constant_values=size), x

    train = words(recipe.data.train)
    steps = math.ceil(len(train[0]) / settings.batch_size) * settings.epochs
    model.compile(optimizers.from_spec(settings.optimizer, lambda: steps), loss=nats)
    model.fit(*train, settings.batch_size, settings.epochs, verbose=2)
    read, x = words(recipe.evaluation.split)
    values = ops.convert_to_numpy(nats(ops.convert_to_tensor(x), model.predict(read, 1000, verbose=0)))
    return {
        "model": f"GRU language model, {units} units",
        "parameters": model.count_params(),
        **_measured(values.astype("float64"), characters(x)),
    }


def vae(run: Path) -> dict[str, Any]:
    """A finished run of the study."""
    from keras_vae import data, zoo
    from keras_vae.zoo import store

    card = zoo.card(run)
    metrics = card.results["metrics"]
    x = data.load_arrays("words", card.recipe.evaluation.split)
    nats = -np.load(run / store.LOG_PROBS).astype("float64")
    return {
        "model": f"VAE, {card.recipe.model.arguments['free_bits']:g} nats free",
        "parameters": card.results["weights"]["parameters"],
        **_measured(nats, characters(x)),
        "kl": metrics["kl"]["value"],
        "elbo": metrics["elbo"]["value"],
        "tokens_right": metrics["tokens_right"]["value"],
    }


def _measured(nats: np.ndarray, count: np.ndarray) -> dict[str, float]:
    """Nats a word, and bits a character with the standard error of the ratio over words (the delta method)."""
    bits = nats.sum() / count.sum() / math.log(2)
    error = np.std(nats / math.log(2) - bits * count, ddof=1) / math.sqrt(len(nats)) / count.mean()
    return {"nats": float(nats.mean()), "bits_per_character": float(bits), "standard_error": float(error)}


def markdown(result: Mapping[str, Any]) -> str:
    """The table, as Markdown."""
    lines = [
        "| model | parameters | bits/character | nats/word | KL, nats | letters returned |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in result["rows"]:
        bits = f"{row['bits_per_character']:.3f} ± {row['standard_error']:.3f}"
        rate = f"{row['kl']:.2f} | {row['tokens_right']:.1%}" if "kl" in row else " | "
        lines.append(f"| {row['model']} | {row['parameters']:,} | {bits} | {row['nats']:.2f} | {rate} |")
    return "\n".join(lines)


def main() -> None:
    from keras_vae import sweeps, zoo
    from keras_vae.zoo.results import PACKAGES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="runs/words", type=Path, help="of the runs")
    parser.add_argument("--output")
    arguments = parser.parse_args()
    swept = sweeps.sweep(STUDY, arguments.folder, report=lambda done: print(done, flush=True))
    runs = [arguments.folder / row["run"] for row in swept.rows]
    rows = [vae(run) for run in runs]
    arguments_of = zoo.card(runs[0]).recipe.model.arguments
    decoder = arguments_of["decoder"]
    largest = units_for(rows[0]["parameters"], decoder["embedding_dim"], arguments_of["vocabulary_size"])
    sizes = decoder["units"], largest
    rows = [*(language_model(runs[0], units, decoder["embedding_dim"]) for units in sizes), *rows]
    result = {"schema": SCHEMA, "versions": {name: version(name) for name in PACKAGES}, "rows": rows}
    print(markdown(result))
    if arguments.output:
        write_json(arguments.output, result)


if __name__ == "__main__":
    main()
