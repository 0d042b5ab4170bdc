"""Files of TOML, which people write: read with the errors of a user, and written."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_vae.errors import UserError, reason_of, require_file


def read(path: str | Path, kind: str) -> tuple[str, dict[str, Any]]:
    """Return the text of a TOML file, and its contents.

    Raises:
      UserError: a missing file, or invalid TOML; the message says which `kind` of file it should be.
    """
    path = Path(path)
    try:
        require_file(path)
        text = path.read_text(encoding="utf-8-sig")  # editors of Windows begin a file with a mark
        return text, tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the {kind} {path}: {getattr(error, 'strerror', None) or error}.") from error
    except (ValueError, RecursionError) as error:  # of an integer of too many digits, a plain ValueError
        raise UserError(f"A {kind} is a TOML file. Given: {path}: {reason_of(error)}.") from error


def text_of(value: object) -> str:
    """Return a string, a number, true or false, a list or a table as TOML writes it, in one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key_of(key)} = {text_of(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(text_of, value)) + "]"
    # JSON writes all else alike; a date, which it does not have, becomes a string.
    return json.dumps(value, ensure_ascii=False, default=str).replace("\x7f", "\\u007f")


def sections(table: Mapping[str, Any]) -> str:
    """Return the text of a file with these contents: each table in it is a section."""
    lines = [f"{key_of(key)} = {text_of(value)}" for key, value in table.items() if not isinstance(value, Mapping)]
    for name, keys in table.items():
        if isinstance(keys, Mapping):
            lines += ["", f"[{key_of(name)}]", *(f"{key_of(key)} = {text_of(value)}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


def key_of(name: str) -> str:
    """Return a key as TOML writes it, in quotes where it needs them."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else text_of(name)
