"""Write the tables of README.md: the zoo's results, the last results in this folder, and what can be exported.

python benchmarks/readme.py
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))


def tables() -> dict[str, str]:
    """The text between `<!-- name -->` and `<!-- /name -->`, for each name."""
    from keras_vae import runtimes, zoo
    from keras_vae.export import support
    from keras_vae.models import MODELS
    from keras_vae.zoo import cards

    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in Path(__file__).parent.glob("*.json")}
    import anomaly
    import inference
    from likelihood import sentence
    from training import markdown

    zoo_results = results["inference"]
    return {
        "zoo": cards.table([zoo.card(name) for name in zoo.names()]),
        "support": support.markdown(MODELS),
        "runtimes": runtimes.markdown(zoo_results[inference.DETAILED]).rstrip(),
        **{f"inference, {call}": inference.markdown(zoo_results, call) for call in ("decode", "encode")},
        "training": markdown(results["training"]),
        "anomaly": anomaly.markdown(results["anomaly"]),
        "likelihood": sentence(results["likelihood"]),
    }


def filled(text: str) -> str:
    """README.md with its tables as the results have them.

    Raises:
      ValueError: a table has no place in it.
    """
    for name, table in tables().items():
        text, count = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m, t=table: f"{m[1]}{t}\n{m[2]}", text, flags=re.S
        )
        if count != 1:
            raise ValueError(f"README.md must have <!-- {name} --> and <!-- /{name} --> once. Found: {count}.")
    return text


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text(encoding="utf-8")), encoding="utf-8")
