"""Write the tables of the documentation: the zoo's results, the last results in this folder, and what can be exported.

python benchmarks/docs_tables.py
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
# The page of each table, which stands there between `<!-- name -->` and `<!-- /name -->`.
PAGES = {
    "zoo": "gallery/index.md",
    "entries": "../zoo/README.md",
    "support": "benchmarks/formats.md",
    "runtimes": "benchmarks/runtimes.md",
    "inference, decode": "benchmarks/runtimes.md",
    "inference, encode": "benchmarks/runtimes.md",
    "decoding": "benchmarks/runtimes.md",
    "training": "benchmarks/training.md",
    "likelihood": "benchmarks/training.md",
    "anomaly": "benchmarks/anomalies.md",
    "series": "benchmarks/series.md",
    "tables": "benchmarks/tables.md",
    "counts": "benchmarks/counts.md",
    "fidelity": "benchmarks/fidelity.md",
    "published": "../README.md",
    "accuracies": "benchmarks/fidelity.md",
    "decisions": "use/which-model.md",
    "gaps": "benchmarks/fidelity.md",
    "measures": "benchmarks/fidelity.md",
    "missed": "benchmarks/fidelity.md",
    "eight bits": "benchmarks/fidelity.md",
    "rate and distortion": "benchmarks/rate_distortion.md",
    "words": "benchmarks/words.md",
    "tips": "benchmarks/tips.md",
    "disentanglement": "benchmarks/disentanglement.md",
    "scaling": "benchmarks/scale.md",
    "stream": "benchmarks/scale.md",
    "cells": "benchmarks/scale.md",
    "score": "benchmarks/scale.md",
    "growth": "benchmarks/growth.md",
    "large images": "benchmarks/growth.md",
    "engines": "benchmarks/engine.md",
    "first step": "benchmarks/engine.md",
    "memory": "benchmarks/engine.md",
    "slimming": "benchmarks/formats.md",
    "kinds": "benchmarks/kinds.md",
    "lessons": "learn/index.md",
}
PICTURES = ("samples.png", "series.png", "marginals.png", "reconstructions.png")  # an entry is shown by its first
sys.path += [str(Path(__file__).parent), str(DOCS / "program"), str(ROOT)]


def tables() -> dict[str, str]:
    """The table of each name in `PAGES`, with links from its page."""
    from keras_vae import runtimes, zoo
    from keras_vae.models import MODELS
    from keras_vae.zoo import cards

    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in Path(__file__).parent.glob("*.json")}
    import anomaly
    import counts
    import decisions
    import decoding
    import disentanglement
    import eight_bits
    import engines
    import fidelity
    import first_step
    import growth
    import inference
    import kinds
    import language_model
    import large_images
    import lessons  # pyright: ignore[reportMissingImports]  # of docs/program
    import likelihood
    import memory
    import rate_distortion
    import scaling
    import series
    import slimming
    import tables as of_tables
    import tips
    from training import markdown

    from tests.conformance import claims
    from tests.proofs import cells, score, stream

    zoo_results = inference.current(results["inference"])
    written = {
        "zoo": cards.table([zoo.card(name) for name in zoo.names()]),
        "entries": entries(),
        "support": claims.markdown(MODELS),
        "runtimes": runtimes.markdown(zoo_results[inference.DETAILED]).rstrip(),
        **{f"inference, {call}": inference.markdown(zoo_results, call) for call in ("decode", "encode")},
        "decisions": decisions.markdown(),
        "decoding": decoding.markdown(results["decoding"]),
        "training": markdown(results["training"]),
        "anomaly": anomaly.markdown(results["anomaly"]),
        "series": series.markdown(results["series"]),
        "tables": of_tables.markdown(results["tables"]),
        "counts": counts.markdown(results["counts"]),
        "cells": cells.markdown(results["cells"]),
        "tips": tips.markdown(results["tips"]),
        "disentanglement": disentanglement.markdown(results["disentanglement"]),
        "words": language_model.markdown(results["language_model"]),
        "scaling": scaling.markdown(results["scaling"]),
        "stream": stream.markdown(results["stream"]),
        "score": score.markdown(results["score"]),
        "growth": growth.markdown(results["growth"]),
        "large images": large_images.markdown(results["large_images"]),
        "engines": engines.markdown(results["engines"]),
        "first step": first_step.markdown(results["first_step"]),
        "memory": memory.markdown(results["memory"]),
        "slimming": slimming.markdown(results["slimming"]),
        "kinds": kinds.markdown(results["kinds"]),
        "lessons": lessons.costs(results["lessons"]["lessons"]),
        "likelihood": likelihood.markdown(results["likelihood"]),
        "fidelity": fidelity.table(),
        "published": fidelity.summary(),
        "accuracies": fidelity.accuracies(),
        "gaps": fidelity.gaps(),
        "measures": fidelity.measures(),
        "missed": fidelity.reasons(),
        "eight bits": eight_bits.markdown(results["eight_bits"]),
        "rate and distortion": rate_distortion.markdown(rate_distortion.points()),
    }
    up = {name: "" if PAGES[name].startswith("../") else "../../" for name in written}
    return {name: table.replace("](zoo/", f"]({up[name]}zoo/") for name, table in written.items()}


def entries() -> str:
    """The gallery in the zoo's folder: a row an entry, those of the same data together, the best likelihood first."""
    from keras_vae import zoo
    from keras_vae.zoo import wording

    lines = [
        "| | entry | -log p(x), nats | published | parameters | weights | trained in |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    shown = [zoo.card(name) for name in zoo.names(sort="nll")]
    for card in sorted(shown, key=lambda card: card.recipe.data.title):  # stable: binarised pixels, then grey levels
        likelihood, published = card.results["metrics"].get("log_prob"), card.recipe.published
        reference = ""
        if published is not None:
            sign, title = (-1, "") if published.metric == "log_prob" else (1, f"{published.metric} ")
            reference = wording.number({"value": sign * published.value, "standard_error": published.standard_error})
            reference = f"{title}[{reference}]({published.url})"
        later = ", not trained anew" if (ROOT / "zoo" / card.name / "next.toml").is_file() else ""
        picture = next((name for name in PICTURES if name in card.results["pictures"]), None)
        if picture:
            first = f'<img src="{card.name}/{picture}" width="180" alt="{Path(picture).stem}">'
        else:  # words, if any
            first = ", ".join(card.results.get("texts", {}).get("sampled", [[]])[0][:8])
        cells = [
            first,
            f"[{card.name}]({card.name}/README.md): " + card.recipe.summary.replace("|", "\\|"),
            wording.number_of_first({**likelihood, "value": -likelihood["value"]} if likelihood else None),
            reference,
            f"{card.results['weights']['parameters']:,}",
            f"{card.results['weights']['bytes'] / 1e6:.2f} MB",
            f"{card.results['training']['seconds'] / 60:.0f} min{later}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def filled() -> dict[Path, str]:
    """The pages of `PAGES` with their tables as the results have them, by path.

    Raises:
      ValueError: a table has no place in its page.
    """
    texts: dict[Path, str] = {}
    for name, table in tables().items():
        path = DOCS / PAGES[name]
        text, count = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
            lambda m, t=table: f"{m[1]}{t}\n{m[2]}",
            texts.get(path) or path.read_text(encoding="utf-8"),
            flags=re.S,
        )
        if count != 1:
            raise ValueError(f"{path} must have <!-- {name} --> and <!-- /{name} --> once. Found: {count}.")
        texts[path] = text
    return texts


if __name__ == "__main__":
    for path, text in filled().items():
        path.write_text(text, encoding="utf-8")
