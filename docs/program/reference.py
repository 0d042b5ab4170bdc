"""The reference pages: the API by mkdocstrings, recipe keys, the bundle's JSON schema, and the command line."""

import ast
import dataclasses
import inspect
import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "models": "The models. Each is a Keras model with the methods of `VAE`, and `save`, which is Keras's own: "
    "[Save and load](../use/training.md#save-and-load).",
    "zoo": "Trained models by name.",
    "data": "Batches of bundled data, of TensorFlow Datasets, or of arrays.",
    "likelihoods": "The distributions of x given a code, by the name that `likelihood=` takes.",
    "networks": "Encoders and decoders by the name that `encoder=` and `decoder=` take.",
    "schedules": "Weights that change with the step, as `beta=` takes them.",
    "divergences": "Distances between distributions.",
    "priors": "Distributions fitted to the codes of a trained model.",
    "evaluation": "Numbers about a trained model, with their standard errors.",
    "tasks": "What is done with a trained model.",
    "export": "Files for other runtimes.",
    "runtimes": "Exported bundles, opened and timed.",
    "scoring": "Many examples through a bundle, to parquet files.",
    "plots": "Figures of arrays.",
    "callbacks": "Keras callbacks.",
    "progress": "How far a long operation is.",
}
# Abstract bases that are on a page beside the public names: docstrings there say "as `LocationScale`".
BASES = {
    "likelihoods": [
        "keras_vae.likelihoods.location_scale.LocationScale",
        "keras_vae.likelihoods.location_scale.Unbounded",
        "keras_vae.likelihoods.counted.Counts",
        "keras_vae.likelihoods.rates.Overdispersed",
        "keras_vae.likelihoods.rates.Rates",
    ]
}
# Of `VAE`: the methods that a user calls, where they are inherited, and where they are its own.
INHERITED = "compile, fit, evaluate, encode, decode, reconstruct, sample, elbo, log_prob, save_weights, load_weights"
OWN = "posterior, prior, likelihood"
PAGES = [
    "reference/index.md",
    *(f"reference/{name}.md" for name in PACKAGES),
    "reference/recipe.md",
    "reference/bundle.md",
    "reference/command-line.md",
]


def pages() -> dict[str, str]:
    """The generated pages by path. `reference/bundle.md` is written by hand; its schema is generated."""
    return {
        "reference/index.md": _index(),
        **{f"reference/{name}.md": _api(name) for name in PACKAGES},
        "reference/recipe.md": _recipe(),
        "reference/bundle.schema.json": json.dumps(bundle_schema(), indent=2, ensure_ascii=False) + "\n",
        "reference/command-line.md": _command_line(),
    }


def _index() -> str:
    rows = [f"| [`keras_vae.{name}`]({name}.md) | {words} |" for name, words in PACKAGES.items()]
    lines = [
        "# Reference", "", "`import keras_vae` imports no TensorFlow; each package does when it needs it.", "",
        "| package | what it holds |", "| --- | --- |", *rows, "",
        "Beside Python: the [keys of a recipe](recipe.md), the [format of a bundle](bundle.md) and the",
        "[command line](command-line.md).", "",
    ]  # fmt: skip
    return "\n".join(lines)


def public_names(name: str) -> list[str]:
    """The dotted names of a package's public functions and classes, in the order of its file.

    They are what it defines, and what it imports `as` itself, as type checkers read it.
    """
    path = ROOT / "keras_vae" / name
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    names = []
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            folder = ROOT / module.replace(".", "/")
            names += [
                f"{module}.{alias.name}" for alias in node.names
                if alias.asname == alias.name and not (folder / f"{alias.name}.py").is_file()
            ]  # fmt: skip
    tree = ast.parse(source.read_text(encoding="utf-8"))
    return names + [
        f"keras_vae.{name}.{node.name}" for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_") and ast.get_docstring(node)
    ]  # fmt: skip


def _api(name: str) -> str:
    lines = [f"# keras_vae.{name}", "", PACKAGES[name], ""]
    for path in [*public_names(name), *BASES.get(name, [])]:
        lines += [f"::: {path}"]
        if name == "models" and not path.endswith(".VAE"):
            lines += ["    options:", "      members: false"]
        elif path.endswith(".VAE"):
            lines += ["    options:", f"      inherited_members: [{INHERITED}]", f"      members: [{INHERITED}, {OWN}]"]
        lines += [""]
    return "\n".join(lines)


def _recipe() -> str:
    from keras_vae.data import readers
    from keras_vae.zoo import recipes

    sections = {
        "data": recipes.DataSection,
        "training": recipes.TrainingSection,
        "evaluation": recipes.EvaluationSection,
        "published": recipes.PublishedSection,
    }
    lines = [
        "# Keys of a recipe", "",
        "A recipe is a TOML file: `keras-vae train RECIPE` trains it, and each entry of the [zoo](../gallery/index.md)",
        "is one. `summary`, `[model]`, `[data]` and `[training]` are required. A recipe is data: it names classes and",
        "networks of keras_vae, and holds no code. Unknown keys are refused with the nearest that exists.", "",
        "`[model]` has `class`, a name of [keras_vae.models](models.md), and the arguments of that class; `seed` and",
        "`dtype` are in `[training]`. `[prior]`, if it is there, has `class`, a name of [keras_vae.priors](priors.md),",
        "and its arguments: it is fitted to the codes of the finished model.", "",
        "`[data]` names a dataset by `name`, or has your own by `source`, with these keys beside it. `path` counts",
        "from the recipe's file, and the recipe that is kept in the run leads to the same data.", "",
        *(f"* `source = \"{name}\"`: {(inspect.getdoc(read) or '').splitlines()[0]} Keys: {_keys(read)}."
          for name, read in readers.SOURCES.items()), "",
    ]  # fmt: skip
    for name, section in sections.items():
        comments = dict(re.findall(r"^    (\w+):[^#\n]*#\s*(.+)$", inspect.getsource(section), re.M))
        lines += [f"## [{name}]", "", inspect.getdoc(section) or "", "", "| key | type | default | |"]
        lines += ["| --- | --- | --- | --- |"]
        for field in dataclasses.fields(section):
            if field.name == "arguments":  # of a source, listed above
                continue
            required = field.default is dataclasses.MISSING
            default = (
                "required" if required else "left out" if field.default is None else f"`{json.dumps(field.default)}`"
            )
            kind = str(getattr(field.type, "__name__", field.type)).replace("typing.", "").replace(" | None", "")
            kind = kind.replace(" | ", " or ")
            lines.append(f"| `{field.name}` | `{kind}` | {default} | {comments.get(field.name, '')} |")
        lines += [""]
    return "\n".join(lines)


def _keys(read: Any) -> str:
    return ", ".join(f"`{name}`" for name in inspect.signature(read).parameters if name != "split")


def json_schema(hint: Any) -> dict[str, Any]:
    """The JSON schema of a type as `keras_vae.schema` reads it: a TypedDict, and what it may hold."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or hint is object:
        return {}
    if origin in (typing.Required, typing.NotRequired):
        return json_schema(arguments[0])
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [json_schema(member) for member in arguments]}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if typing.is_typeddict(hint):
        properties = {
            name: json_schema(inner) for name, inner in typing.get_type_hints(hint, include_extras=True).items()
        }
        return {"type": "object", "properties": properties, "required": sorted(hint.__required_keys__)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": json_schema(arguments[1])}
    if origin in (list, Sequence):
        return {"type": "array", "items": json_schema(arguments[0])}
    return {"type": {str: "string", int: "integer", float: "number", bool: "boolean"}.get(hint, "null")}


def bundle_schema() -> dict[str, Any]:
    """The JSON schema of `bundle.json`."""
    from keras_vae.runtimes import bundle

    schema = json_schema(bundle.Manifest)
    schema["properties"]["schema"] = {"const": bundle.SCHEMA}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "bundle.json", **schema}


def _command_line() -> str:
    import typer.main

    from keras_vae.cli import app

    group: Any = typer.main.get_command(app)
    lines = ["# Command line", "", _prose(group.help), "", _prose(group.epilog), ""]
    data = group.commands.pop("data")
    nested = {f"data {name}": command for name, command in data.commands.items()}
    for name, command in {**group.commands, **nested}.items():
        context = command.make_context(name, [], resilient_parsing=True)
        usage = " ".join(["keras-vae", name, *command.collect_usage_pieces(context)])
        lines += [f"## {name}", "", "```", usage, "```", "", _prose(command.help or ""), ""]
        rows = [row for parameter in command.params if parameter.name != "help" for row in _row(parameter, context)]
        if rows:
            lines += ["| argument | default | |", "| --- | --- | --- |", *rows, ""]
    return "\n".join(lines)


def _row(parameter: Any, context: Any) -> list[str]:
    if getattr(parameter, "hidden", False):
        return []
    names = ", ".join(f"`{word}`" for word in [*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        names = f"`{parameter.metavar or parameter.name.upper()}`"
    default = parameter.get_default(context)
    shown = "" if default in (None, False, (), []) or callable(default) else f"`{default}`"
    return [f"| {names} | {shown} | {_prose(parameter.help or '').replace('|', chr(92) + '|')} |"]


def _prose(text: str) -> str:
    """Help text as Markdown: without rich's marks, on one line a paragraph."""
    text = re.sub(r"\[/?(?:bold|dim|italic|cyan|green|yellow|red)\]", "", text.replace("\\[", "["))
    text = re.sub(r"([*_<])", r"\\\1", text)
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
