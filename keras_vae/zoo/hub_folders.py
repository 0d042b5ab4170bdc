"""Models on the Hugging Face Hub: their addresses, and the copies of their folders in the cache of huggingface_hub.

A folder there holds what a run's does. huggingface_hub, an optional dependency, does all traffic: it keeps each commit
once, takes what the cache has when the Hub cannot be reached, and resumes interrupted downloads.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from keras_vae.errors import UnavailableError, UserError, reason_of

SCHEME = "hf://"
_FORM = re.compile(r"hf://(?P<repository>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>\w[\w./-]*))?", re.ASCII)
_COMMIT = re.compile("[0-9a-f]{40}")
_LOG_IN = "log in (hf auth login) or set HF_TOKEN"


class Address(NamedTuple):
    """A model on the Hub, as USER/MODEL, and its revision: a branch, a tag or a commit; empty, the branch main."""

    repository: str
    revision: str = ""

    def __str__(self) -> str:
        return f"{SCHEME}{self.repository}" + (f"@{self.revision}" if self.revision else "")

    @property
    def name(self) -> str:
        """The model's name, without the user's."""
        return self.repository.split("/")[1]

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, whose content never changes."""
        return _COMMIT.fullmatch(self.revision) is not None


def parse(text: str) -> Address:
    """Return the address that a text spells.

    Raises:
      UserError: it spells none.
    """
    match = _FORM.fullmatch(text)
    if match is None or ".." in text:
        raise UserError(f"An address on the Hub is hf://USER/MODEL or hf://USER/MODEL@REVISION. Given: {text}.")
    return Address(match["repository"], match["revision"] or "")


def address_of(folder: Path) -> Address | None:
    """Return the address, with its commit, of a folder in the cache of huggingface_hub; None of any other folder."""
    *_, owner, kind, commit = ("", "", "", *folder.absolute().parts)
    parts = owner.split("--")
    if kind != "snapshots" or not _COMMIT.fullmatch(commit) or len(parts) != 3 or parts[0] != "models":
        return None
    return Address("/".join(parts[1:]), commit)


def fetch(address: Address, patterns: Sequence[str]) -> Path:
    """Return the folder of a commit in the cache, after downloading the files that it lacks.

    Args:
      address: of the model; a branch or a tag is looked up at the Hub.
      patterns: globs of the names of the files.

    Raises:
      UnavailableError: huggingface_hub is not installed, or the Hub cannot be reached and the cache lacks a file.
      UserError: no such model or revision, or no access to it.
    """
    with talking_of(address):
        from huggingface_hub import snapshot_download

        revision = address.revision or None
        return Path(snapshot_download(address.repository, revision=revision, allow_patterns=list(patterns)))


def in_cache(folder: Path, path: Path) -> bool:
    """Return whether a link in a folder of the cache leads to where the cache keeps the contents of its files."""
    return address_of(folder) is not None and path.resolve().parent == folder.resolve().parents[1] / "blobs"


def repair(folder: Path) -> str:
    """Return the sentence that says how to replace a damaged copy in the cache."""
    copy = shlex.quote(str(folder.parents[1]))
    return f"To fetch it again, remove the copy: rm -r {copy}. If it stays so, it is damaged on the Hub too."


@contextmanager
def talking_of(address: Address) -> Iterator[None]:
    """Raise what huggingface_hub raises in the block as one sentence of ours, with what to do."""
    try:
        from huggingface_hub import constants, errors
    except ImportError as error:
        raise UnavailableError(
            f"{address} is on the Hugging Face Hub, which needs huggingface_hub, and it is not installed here. Install "
            f'it: pip install "keras_vae[hub]"'
        ) from error
    page = f"{constants.ENDPOINT}/{address.repository}"
    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError as error:
        raise UserError(f"{address} is gated: accept its terms at {page}, then {_LOG_IN}.") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(f"{address} is not on the Hub, or is private. Correct its name, or {_LOG_IN}.") from error
    except errors.RevisionNotFoundError as error:
        raise UserError(
            f"{address} has no such revision. Choose a branch, tag or commit of {page}, or leave @REVISION out."
        ) from error
    except Exception as error:
        causes = list(_causes(error))
        response = next((it for cause in causes if (it := getattr(cause, "response", None)) is not None), None)
        if response is not None:
            status, words = response.status_code, response.headers.get("X-Error-Message") or response.reason_phrase
            raise UserError(f"The Hub refused {address}: {status}, {words.rstrip('.')}. {_remedy(status)}") from error
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise UnavailableError(
                f"{address} cannot be fetched, as the Hub cannot be reached or HF_HUB_OFFLINE is set, and the cache "
                f"{constants.HF_HUB_CACHE} does not have it all. Try again with a connection: files that are whole "
                f"are not fetched twice."
            ) from error
        raise UnavailableError(
            f"Traffic with the Hub about {address} failed: {reason_of(causes[-1])}. Try again: files that are whole "
            f"are not sent or fetched twice."
        ) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from; the last has the reason."""
    while error is not None:
        yield error
        error = error.__cause__


def _remedy(status: int) -> str:
    """Return the sentence that says what to do about the status of an answer."""
    if status == 401:
        return f"Your token is missing or not valid: {_LOG_IN}."
    if status in (402, 403, 413):
        return "The account of your token may not do this, or has no room for it: see your settings on the Hub."
    if status == 429:
        return "Too many requests: try again in some minutes."
    return "Try again later." if status >= 500 else "See its page on the Hub."
