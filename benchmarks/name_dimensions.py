"""Name the dimensions in results of the zoo that were measured before results had names, and write the cards.

    python benchmarks/name_dimensions.py

`metrics.kl.names` are the names of its parts, `overview.latent.collapse.names` those of the collapsed dimensions, and
`remedies` are worded as this version suggests them. No number changes. It is repeatable.
"""

from keras_vae import files, zoo
from keras_vae.evaluation.evaluation import dimension_names
from keras_vae.evaluation.latent import kl_names, remedies
from keras_vae.zoo import store


def main() -> None:
    """Write results.json and README.md of each entry of the zoo."""
    for name in zoo.names():
        entry, model = store.entry(name), zoo.load(name, weights=False)
        results = entry.results
        if (kl := results["metrics"].get("kl")) and "parts" in kl:
            kl["names"] = kl_names(model, len(kl["parts"]))
        if collapse := results["overview"].get("latent", {}).get("collapse"):
            names = dimension_names(model)
            collapse["names"] = [names[index] for index in collapse["dimensions"]]
            collapse["remedies"] = list(remedies(model, collapse["verdict"])) if collapse["dimensions"] else []
        card = zoo.Card(entry.name, entry.recipe, results, entry.reference)
        files.write_text(entry.folder / store.CARD, card.markdown())
        store.write_results(entry, results)


if __name__ == "__main__":
    main()
