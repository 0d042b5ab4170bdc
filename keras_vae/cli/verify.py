"""The command `verify`."""

from typing import Annotated, Any

import typer

from keras_vae.cli.output import MODEL, Json, complete_names, load_tensorflow, print_json, print_table, working
from keras_vae.errors import CorruptFileError, UnavailableError, UserError


def verify_command(
    name: Annotated[str | None, typer.Argument(help=MODEL, autocompletion=complete_names)] = None,
    everything: Annotated[bool, typer.Option("--all", help="All trained models of the zoo.")] = False,
    likelihood_examples: Annotated[
        int | None,
        typer.Option(
            help="Measure log p(x) of the first so many examples only: all by default, 100 with --all. 0 leaves it out."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Measure a model's numbers again and compare them with its card; exit status 1 if they differ."""
    from keras_vae.zoo import cards

    if (name is None) != everything:
        count = "neither" if name is None else "both"
        raise UserError(f"Verify one model, or with --all the whole zoo. Given: {count}. Say keras-vae verify NAME.")
    if name is None:
        _verify_all(100 if likelihood_examples is None else likelihood_examples, json)
        return
    cards.card(name)
    load_tensorflow()
    from keras_vae import zoo

    with working(f"Measuring {name} again", quiet=json):
        rows = zoo.verify(name, likelihood_examples != 0, likelihood_examples or None)
    if json:
        print_json({"name": name, "agrees": True, "metrics": rows})
        return
    table = [[metric, *(f"{row[key]:.4f}" for key in ("expected", "measured", "difference", "tolerance")), row["unit"]]
             for metric, row in rows.items()]  # fmt: skip
    titles = ["metric", "card", "measured", "difference", "tolerance", "unit"]
    part = (
        f"log_prob: of the first {likelihood_examples:,} examples, in log_prob.npy too." if likelihood_examples else ""
    )
    print_table(f"{name}: agrees with its card", titles, table, note=part)


def _verify_all(likelihood_examples: int, json: bool) -> None:
    """Verify each trained model of the zoo, and say which agree, which do not, and which could not be measured."""
    load_tensorflow()
    from keras_vae import zoo

    outcomes: dict[str, dict[str, Any]] = {}
    for name in zoo.names():
        if not zoo.card(name).results:
            continue
        with working(f"Measuring {name} again", quiet=json):
            try:
                rows = zoo.verify(name, likelihood_examples != 0, likelihood_examples or None)
                outcomes[name] = {"agrees": True, "metrics": rows}
            except UnavailableError as error:  # of weights, or of data that are not bundled
                outcomes[name] = {"agrees": None, "reason": str(error)}
            except CorruptFileError as error:
                outcomes[name] = {"agrees": False, "reason": str(error)}
    if json:
        print_json({"models": outcomes})
    else:
        words = {True: "agrees", False: "differs", None: "not measured"}
        table = []
        for name, outcome in outcomes.items():
            rows = outcome.get("metrics", {})
            shares = [abs(row["difference"]) / row["tolerance"] for row in rows.values()]
            table.append([name, words[outcome["agrees"]], str(len(rows)), f"{max(shares):.1%}" if shares else ""])
        titles = ["model", "card", "numbers", "largest difference, of its tolerance"]
        print_table("The zoo, measured again", titles, table)
        for name, outcome in outcomes.items():
            if "reason" in outcome:
                print(f"{name}: {outcome['reason']}")
    if any(outcome["agrees"] is False for outcome in outcomes.values()):
        raise typer.Exit(1)
