"""Drafts of recipes: a look at a user's file or folder, and a commented recipe that fits it, to be changed by hand."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

import numpy as np

from keras_vae.data import pictures, readers, splits, tables
from keras_vae.data.sparse_files import matrices_in
from keras_vae.errors import UserError
from keras_vae.zoo import toml_files
from keras_vae.zoo.column_drafts import HEAVY, look_at

_LOOKED_AT = 200  # pictures whose sizes are read
_STEPS, _EPOCHS = 4000, (10, 200)  # of a training, and the fewest and most epochs that it takes
_LETTERS = 256  # of a line with its end, at most
_SIDE = 64  # pixels of a side, at most
_LEAST = 2  # of a split, to have a standard error


Keys: TypeAlias = dict[str, object]  # of a section, with their values


class Draft(NamedTuple):
    """The parts of a recipe: keys by section, and a comment for each as `section.key`, or for a section."""

    sections: dict[str, Keys]
    comments: dict[str, str]
    shares: np.ndarray  # of each example, which say its split


def draft(data: str | Path, recipe: str | Path, say: Callable[[str], None] = lambda line: None) -> str:
    """Return the text of a recipe for the data in a file or folder.

    Args:
      data: a folder of pictures, or a `.csv`, `.parquet`, `.npy`, `.npz` or `.txt`.
      recipe: the path that the recipe will have, from which that of the data counts.
      say: called with a line about what the data are, and what of them is left out.

    Raises:
      UserError: data that no source reads, or too few for a split of them to be measured on.
    """
    data, suffix = Path(data), Path(data).suffix.lower()
    if not data.exists():
        raise UserError(f"{data} does not exist. Correct the path.")
    if data.is_dir():
        parts = _of_pictures(data)
    elif suffix in (".csv", ".parquet"):
        parts = _of_table(data)
    elif suffix in (".npy", ".npz"):
        parts = _of_array(data)
    elif suffix == ".txt":
        parts = _of_text(data)
    else:
        raise UserError(
            f"A recipe is drafted for a folder of pictures, or a .csv, .parquet, .npy, .npz or .txt. Given: {data}. "
            f"Convert it, or register a source of your own."
        )
    relative = os.path.relpath(data.resolve(), Path(recipe).resolve().parent)
    parts.sections["data"] |= {"path": Path(relative).as_posix()}
    _require_examples(data, parts.shares)
    say(f"{data}: {parts.comments['data']}")
    parts.comments["data.path"] = "counts from the folder of this file"
    return _written(parts, data.name)


def _require_examples(data: Path, shares: np.ndarray) -> None:
    """Raise UserError where a split is too small to be measured on."""
    for split in ("train", "validation", "test"):
        if splits.count(shares, split) < _LEAST:
            raise UserError(
                f"A recipe needs {_LEAST} examples in each split; validation and test have a tenth each, drawn by "
                f"chance. Given: {data}, with {len(shares)} examples, too few of them in {split}. Add some."
            )


def _of_pictures(folder: Path) -> Draft:
    _, classes, names = pictures.listed(folder)
    sizes, modes = Counter[tuple[int, int]](), Counter[str]()
    for name in names[:: max(1, len(names) // _LOOKED_AT)]:
        with pictures.opened(folder / name) as picture:
            sizes[picture.size] += 1
            modes[picture.mode] += 1
    side = min(_SIDE, int(np.median([min(size) for size in sizes.elements()])))
    side = max(8, side - side % 8)
    grey, cropped = set(modes) <= {"1", "L", "LA"}, any(width != height for width, height in sizes)
    (width, height), _ = sizes.most_common(1)[0]
    summary = f"{len(names)} pictures, most of them {width} x {height}"
    model: Keys = {"class": "VAE", "image_shape": [side, side, 1 if grey else 3], "latent_dim": 32,
             "encoder": {"name": "conv"}, "decoder": {"name": "conv"},
             "likelihood": {"name": "gaussian", "scale": "global"}}  # fmt: skip
    data: Keys = {"source": "folder", "size": side}
    data |= ({"crop": True} if cropped else {}) | ({"grey": True} if grey else {})
    comments = {
        "data": summary + (f", in the subfolders {', '.join(classes[:9])}, which are labels" if classes else ""),
        "data.size": "pictures are resized to this side, a multiple of 8 for the convolutions below",
        "data.crop": "cuts what is beyond the square; without it, pictures are squeezed in",
        "model.image_shape": "height, width and channels, as data.size and data.grey make them",
        "model.likelihood": 'grey levels and colours; of black and white, "bernoulli", and data.binarize = "dynamic"',
    }
    return Draft({"model": model, "data": data, "training": _training(len(names), 64)}, comments,
                 np.array([pictures.share_of(name) for name in names]))  # fmt: skip


def _of_table(path: Path) -> Draft:
    names, cells = tables.cells_of(path)
    columns = look_at(names, cells)
    if not columns.kinds:
        why = "; ".join(f"{name}: {reason}" for name, reason in columns.left_out.items())
        raise UserError(f"A table has a column of numbers, or several of classes. Given: {path} ({why}). Add some.")
    order, holes = list(columns.kinds), columns.empty > 0
    data: Keys = {"source": "table", **({} if columns.mixed else {"columns": order})}
    data |= ({"label": columns.label} if columns.label else {}) | ({"missing": True} if holes else {})
    sections: dict[str, Keys] = {"data": data}
    if columns.mixed:
        model, comments = _network_of(len(order)), {}
        model |= {"x_shape": [len(order)], "likelihood": "mixed"} | ({"missing": "mask"} if holes else {})
        sections |= {"data.kinds": dict(columns.kinds)}
        comments["model.likelihood"] = "each column has one of its kind, below"
    else:
        model, comments = _of_numbers(tables.numbers_of(names, cells, order, missing=True).x)
    others = "; ".join(f"{name} ({why})" for name, why in columns.left_out.items())
    label = f"; {columns.label} as the label, which is no part of x" if columns.label else ""
    comments |= {
        "data": f"{len(cells)} rows. {f'Left out: {others}' if others else 'Every column is taken'}{label}",
        "data.columns": "in this order they are the numbers of x, whatever the order in a file",
        "data.label": "words, of which measures and conditional models make use; it is no part of x",
        "data.kinds": "the columns of x, in this order; real, positive, count, overdispersed, or classes: categorical, "
        "or ordinal where they stand in an order",
        "model.missing": f"{columns.empty:.1%} of the cells are empty, missing: they have no term, and are not read",
    }
    return Draft({"model": model, **sections, "training": _training(len(cells), 128)}, comments,
                 readers.shares_of(len(cells)))  # fmt: skip


def _of_text(path: Path) -> Draft:
    lines = readers.lines_of(path)
    alphabet, length = "".join(sorted(set().union(*lines))), 1 + max(map(len, lines))
    if length > _LETTERS:
        raise UserError(
            f"Lines of a text are sequences of at most {_LETTERS - 1} letters. Given: {path}, with one of "
            f"{length - 1}. Break them."
        )
    network = {"name": "gru", "units": 96, "embedding_dim": 32}
    model: Keys = {"class": "SequenceVAE", "length": length, "vocabulary_size": len(alphabet) + 1,
             "latent_dim": 32, "encoder": network, "decoder": network, "word_dropout": 0.3,
             "beta": {"name": "linear", "final": 1.0, "steps": _STEPS // 2}}  # fmt: skip
    data: Keys = {"source": "text", "alphabet": alphabet, "length": length}
    comments = {
        "data": f"{len(lines)} lines, of {np.mean([*map(len, lines)]):.0f} letters on average",
        "data.alphabet": "the first letter is token 1; a file with others is refused",
        "data.length": "letters of the longest line, and its end; as model.length",
        "model.vocabulary_size": "the letters, and the end",
        "model.word_dropout": "the share of letters that training hides from the decoder, so that it needs the code",
    }
    return Draft({"model": model, "data": data, "training": _training(len(lines), 128)}, comments,
                 np.array([pictures.share_of(line) for line in lines]))  # fmt: skip


def _of_array(path: Path) -> Draft:
    data: Keys = {"source": "array"}
    if matrices_in(path):
        raise UserError(
            f"A recipe reads a sparse matrix from shards. Given: {path}. Build them, keras-vae data build {path} "
            f'FOLDER, and write a recipe with source = "shards" and path = "FOLDER" under [data].'
        )
    if path.suffix.lower() == ".npz":
        with readers.opened_npz(path) as archive:
            arrays = {name: archive[name] for name in archive.files}
        ranked = sorted(arrays, key=lambda name: (name != "x", -arrays[name].size))
        if not ranked:
            raise UserError(f"{path} has no arrays. Save them with numpy.savez.")
        labels = [name for name, array in arrays.items()
                  if array.dtype.kind in "iu" and array.shape == arrays[ranked[0]].shape[:1]]  # fmt: skip
        data |= {"x": ranked[0]} | ({"label": labels[0]} if labels else {})
    x = readers.array(path, x=str(data.get("x", "x"))).images
    assert isinstance(x, np.ndarray)  # as it is not streamed
    shares = readers.shares_of(len(x))
    if not len(x):
        _require_examples(path, shares)
    if not x.size:
        raise UserError(f"An example has a number or more. Given: {path}, of shape {x.shape}. Look at how it was made.")
    if x.ndim == 4 and x.shape[-1] in (1, 3) and (x.dtype == np.uint8 or (x.min() >= 0 and x.max() <= 1)):
        network = {"name": "conv" if not any(side % 8 for side in x.shape[1:3]) else "mlp"}
        model: Keys = {"class": "VAE", "image_shape": list(x.shape[1:]), "latent_dim": 32,
                                    "encoder": network, "decoder": network,
                                    "likelihood": {"name": "gaussian", "scale": "global"}}  # fmt: skip
        comments = {"model.likelihood": 'pixels in [0, 1]; "bernoulli" where they are 0 or 1'}
    else:
        model, comments = _of_numbers(x)
        if x.ndim == 3:
            model, comments = _of_series(model, comments)
    comments["data"] = f"{x.dtype} of shape {x.shape}"
    return Draft({"model": model, "data": data, "training": _training(len(x), 128)}, comments, shares)


def _network_of(size: int) -> Keys:
    """Return the class, code and networks of a model of so many numbers."""
    network = {"name": "mlp", "hidden": [64, 64] if size < 50 else [256, 256]}
    return {"class": "VAE", "latent_dim": int(np.clip(size // 2, 1, 16)), "encoder": network, "decoder": network}


def _of_numbers(x: np.ndarray) -> tuple[Keys, dict[str, str]]:
    """Return the model of numbers that are no pixels, with comments: its likelihood by what they are."""
    flat = np.asarray(x.reshape(len(x), -1), "float64")
    likelihood, why = _likelihood(flat)
    model = _network_of(flat.shape[1]) | {"x_shape": list(x.shape[1:]), "likelihood": likelihood}
    comments = {
        "model.likelihood": why,
        "model.latent_dim": "how many numbers a code has; unused ones stay at the prior",
    }
    if (holes := np.isnan(flat).mean()) > 0:
        model["missing"] = "mask"
        comments["model.missing"] = f"{holes:.1%} of the numbers are NaN, missing: they have no term, and are not read"
    return model, comments


def _of_series(model: Keys, comments: dict[str, str]) -> tuple[Keys, dict[str, str]]:
    """Return the model of numbers along two axes, with networks of series, and scales of their channels."""
    network = {"name": "causal"}
    likelihood = dict(cast("Keys", model["likelihood"]))
    spread = {"normal": "scale", "student_t": "scale", "negative_binomial": "dispersion"}.get(str(likelihood["name"]))
    likelihood |= {"standardize": "channel"} | ({spread: "channel"} if spread else {})
    comments |= {
        "model.x_shape": 'steps and channels, if these are series; if not, "mlp" networks read any two axes',
        "model.encoder": 'causal convolutions; "gru" is a recurrent network',
    }
    return model | {"encoder": network, "decoder": network, "likelihood": likelihood}, comments


def _likelihood(x: np.ndarray) -> tuple[Keys, str]:
    x = x[:, ~np.isnan(x).all(axis=0)]  # without numbers that no example has
    if not x.size:
        raise UserError("x has numbers. Given: NaN only. Look at how the file was written.")
    mean, variance, seen = np.nanmean(x, axis=0), np.nanvar(x, axis=0), x[~np.isnan(x)]
    if (seen >= 0).all() and (seen == np.round(seen)).all() and seen.max(initial=0.0) > 1:
        read = "whose logarithms the networks read and give standardised"
        if np.median(variance / np.maximum(mean, 1e-9)) > 1.5:
            offset = "" if np.isnan(x).any() else '; library = "observed" models the shares of each row\'s total'
            why = f"counts, most of them with a variance well above their mean, {read}{offset}"
            return {"name": "negative_binomial", "standardize": True}, why
        why = f'counts, {read}; "negative_binomial" where they vary by more than their mean'
        return {"name": "poisson", "standardize": True}, why
    spread = np.where(variance > 0, np.sqrt(variance), 1.0)
    kurtosis = np.nanmean(((x - mean) / spread) ** 4, axis=0)
    inside = "standardised inside the model, which takes and gives the units of the file"
    if np.median(kurtosis) > HEAVY:
        return {"name": "student_t", "standardize": True}, f"real numbers with outliers, {inside}"
    return {"name": "normal", "standardize": True}, f'real numbers, {inside}; "student_t" where there are outliers'


def _training(count: int, batch_size: int) -> Keys:
    batch = min(batch_size, max(1, count // 10))
    epochs = int(np.clip(_STEPS * batch // max(count, 1), *_EPOCHS))
    return {"epochs": epochs, "batch_size": batch, "optimizer": {"name": "adam", "learning_rate": 0.001}}


def _written(parts: Draft, name: str) -> str:
    comments = {
        "training": "keras-vae train THIS_FILE --quick trains, and leaves the long measures for later",
        "evaluation": "the split that is measured, which training never sees",
        **parts.comments,
    }
    sections = parts.sections | {"evaluation": {"split": "test", "samples": 100}}
    lines = [
        f"# Drafted from {_plain(name)}: change what you know better.",
        f"summary = {toml_files.text_of(f'VAE of {name}')}",
    ]
    for section, keys in sections.items():
        note = comments.get(section)
        lines += ["", *([f"# {_plain(note)}"] if note else []), f"[{section}]"]
        lines += [line for key, value in keys.items() for line in _line(key, value, comments.get(f"{section}.{key}"))]
    return "\n".join(lines) + "\n"


def _line(key: str, value: object, comment: str | None) -> Iterator[str]:
    if comment:
        yield f"# {key}: {_plain(comment)}"
    yield f"{toml_files.key_of(key)} = {toml_files.text_of(value)}"


def _plain(text: str) -> str:
    """A comment in one line, whatever names of files and columns hold."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
