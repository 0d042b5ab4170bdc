"""Name the dimensions in results of the zoo that were measured before results had names, and write the cards.

    python benchmarks/name_dimensions.py

`metrics.kl.names` are the names of its parts, and `overview.latent.collapse` is worded as this version words it. No
number changes. It is repeatable.
"""

from keras_vae import files, zoo
from keras_vae.evaluation.latent import collapsed, kl_names
from keras_vae.zoo import store


def main() -> None:
    """Write results.json and README.md of each entry of the zoo."""
    for name in zoo.names():
        entry, model = store.entry(name), zoo.load(name, weights=False)
        results = entry.results
        if (kl := results["metrics"].get("kl")) and "parts" in kl:
            kl["names"] = kl_names(model, len(kl["parts"]))
        latent = results["overview"].get("latent", {})
        if "collapse" in latent:
            latent["collapse"] = collapsed(model, latent["collapse"]["dimensions"])
        card = zoo.Card(entry.name, entry.recipe, results, entry.reference)
        files.write_text(entry.folder / store.CARD, card.markdown())
        store.write_results(entry, results)


if __name__ == "__main__":
    main()
