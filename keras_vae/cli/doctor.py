"""The command `doctor`."""

from typing import Annotated

import typer

from keras_vae.cli.output import Json, print_json, silenced


def doctor_command(
    json: Json = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if anything is wrong.")] = False,
) -> None:
    """Say what this machine trains and runs models with, and what is wrong with it.

    Processors, devices, XLA, versions, threads. It changes nothing.
    """
    from keras_vae.benchmarking.doctor import diagnose

    with silenced():
        facts = diagnose()
    if json:
        print_json(facts)
    else:
        of = facts["machine"]
        print(f"Processor: {of['processor']}, {of['processors']} to use; {' '.join(of['flags']) or 'no flags'}")
        print(f"System: {of['system']}, Python {of['python']}, keras_vae {of['keras_vae']}")
        listed = ", ".join(f"{name} {version or 'not installed'}" for name, version in facts["versions"].items())
        print(f"Versions: {listed}")
        devices = facts["devices"]
        print(f"Keras: {facts['backend']} backend")
        print(f"Devices: {', '.join(row['name'] for row in devices) if devices else 'none that Keras could use'}")
        print(f"XLA compiles for: {facts['xla'] or 'nothing'}")
        threads = ", ".join(f"{name}={value}" for name, value in facts["threads"].items() if value)
        print(f"Threads: {threads or 'as many as there are processors'}")
        print("\n".join(f"Problem: {line}" for line in facts["problems"]) or "Nothing is wrong.")
    if strict and facts["problems"]:
        raise typer.Exit(1)
