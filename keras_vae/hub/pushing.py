"""A run's folder to the Hugging Face Hub, in one commit, after its files were compared with their digests."""

from pathlib import Path
from typing import TYPE_CHECKING

from keras_vae.errors import UserError
from keras_vae.hub.front_matter import front_matter
from keras_vae.runtimes.bundle import MANIFEST, read_bundle
from keras_vae.zoo import cards, hub_folders, store

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

_BUNDLE = "bundle"  # the folder of an exported bundle on the Hub


def push(
    run: str | Path, address: str, bundle: str | Path | None = None, licence: str | None = None, private: bool = False
) -> str:
    """Commit a trained model to the Hub, and return its address with the commit, which `keras_vae.zoo.load` takes.

    The files are those of the run's folder: recipe, weights, results, fitted prior, pictures and the card, with the
    front matter that the Hub reads. Such files of an earlier push that the run lacks are removed there; others stay.
    The repository is made if there is none, and so is the branch.

    Args:
      run: a folder that training wrote, or an entry of the zoo.
      address: hf://USER/MODEL, or hf://USER/MODEL@BRANCH.
      bundle: a folder that `keras_vae.export` wrote of the same weights, to be put beside them as `bundle/`.
      licence: of the weights, as the Hub writes it, such as "apache-2.0"; left out, the card names none, but for an
        entry of the zoo.
      private: make the repository a private one, if it is made.

    Raises:
      UserError: an address that is none or has a commit, a bundle of other weights, no token, or the Hub's refusal.
      CorruptFileError: a run that is not trained to its end, or files that are not those of its card.
      UnavailableError: huggingface_hub is not installed, or the Hub cannot be reached.
    """
    target = hub_folders.parse(address)
    if target.pinned:
        raise UserError(f"A commit on the Hub never changes. Given: {address}. Push to a branch, or leave @ out.")
    where = store.entry(run)
    content: dict[str, Path | bytes] = {
        path.name: path
        for path in (where.folder / store.RECIPE, where.folder / store.RESULTS, store.checked_weights(where))
    }
    if prior := store.checked_prior(where):
        content[prior.name] = prior
    for name in (store.LOG_PROBS, *cards.PICTURES):
        if (where.folder / name).is_file():
            content[name] = where.folder / name
    if bundle is not None:
        content |= _of_bundle(Path(bundle), where.results["weights"]["sha256"])
    with hub_folders.talking_of(target):
        import huggingface_hub as hub

        if hub.get_token() is None:
            raise UserError("To push, the Hub needs a token that may write. Log in: hf auth login; or set HF_TOKEN.")
        shown = str(target._replace(revision=""))
        card = cards.Card(target.name, where.recipe, where.results, shown)
        content[store.CARD] = (
            f"{front_matter(card, licence or ('apache-2.0' if where.in_zoo else None))}\n{card.markdown()}".encode()
        )
        branch, api = target.revision or None, hub.HfApi()
        api.create_repo(target.repository, private=private or None, exist_ok=True)
        if branch:
            api.create_branch(target.repository, branch=branch, exist_ok=True)
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            hub.CommitOperationAdd(name, data) for name, data in content.items()
        ]
        operations += [
            hub.CommitOperationDelete(name)
            for name in api.list_repo_files(target.repository, revision=branch)
            if name not in content and (name.startswith(f"{_BUNDLE}/") or name in _OURS)
        ]
        message = f"{where.name}, by keras_vae"
        commit = api.create_commit(target.repository, operations, commit_message=message, revision=branch)
    return str(target._replace(revision=commit.oid))


_OURS = {store.WEIGHTS, store.OLD_WEIGHTS, store.PRIOR, store.LOG_PROBS, *cards.PICTURES}


def _of_bundle(folder: Path, weights_sha256: str) -> dict[str, Path | bytes]:
    """Return the files of a bundle by their paths on the Hub, after comparing them with their digests."""
    bundle = read_bundle(folder)
    bundle.verify()
    if (exported := bundle.manifest["model"].get("weights_sha256")) != weights_sha256:
        raise UserError(
            f"A bundle is pushed beside the weights that it was exported from. Given: {folder}, of weights with the "
            f"sha256 {exported}, and a run with {weights_sha256}. Export the run: keras-vae export RUN OUTPUT."
        )
    return {f"{_BUNDLE}/{name}": folder / name for name in (MANIFEST, *bundle.manifest["files"])}
