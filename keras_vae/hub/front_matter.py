"""The YAML at the head of a card on the Hugging Face Hub: what it searches by, and shows as results."""

from keras_vae.zoo import cards
from keras_vae.zoo.wording import metric_title

# Datasets by the names of recipes: their titles, and their repositories on the Hub.
_DATASETS = {
    "mnist": ("MNIST", "ylecun/mnist"),
    "fashion_mnist": ("Fashion-MNIST", "zalando-datasets/fashion_mnist"),
    "cifar10": ("CIFAR-10", "uoft-cs/cifar10"),
}
# The Hub has no task of drawing rows or series of numbers.
_TASKS = {"image": "unconditional-image-generation", "tokens": "text-generation", "numbers": "feature-extraction"}


def front_matter(card: cards.Card, licence: str | None = None) -> str:
    """Return the front matter of a trained model's card, with the lines that enclose it.

    Its `model-index` has every number of the card's table. `pipeline_tag` is left out of a model that needs a
    condition, or that has no distribution to draw from.

    Args:
      card: of the model.
      licence: of its weights, as the Hub writes it; None leaves it out.
    """
    from huggingface_hub import EvalResult, ModelCardData

    data, how, metrics = card.recipe.data, card.results["evaluation"], card.results["metrics"]
    title, dataset = _DATASETS.get(data.name, (data.title, None))
    task = _TASKS[card.kind]
    kind = card.recipe.model.class_name
    results = [
        EvalResult(
            task_type=task,
            dataset_type=dataset or data.title,
            dataset_name=title,
            dataset_split=how["split"],
            metric_type=name,
            metric_name=metric_title(name),
            metric_value=row["value"],
        )
        for name, row in metrics.items()
    ]
    facts = ModelCardData(
        license=licence,
        library_name="keras_vae",
        tags=["variational-autoencoder", "keras", "tensorflow", kind],
        datasets=[dataset] if dataset else None,
        pipeline_tag=task if "elbo" in metrics and not how["condition"] else None,
        model_name=card.name,
        eval_results=results,
    )
    return f"---\n{facts.to_yaml()}\n---\n"
