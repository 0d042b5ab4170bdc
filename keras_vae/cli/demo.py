"""The command `demo`."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from keras_vae.cli.output import Json, Overwrite, load_tensorflow, print_json, working


def demo_command(
    name: Annotated[str, typer.Argument(help="A model of the zoo, a folder that train wrote, or a bundle's folder.")],
    port: Annotated[int, typer.Option(help="Port of the page on this machine; 0 takes a free one.")] = 8000,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    output: Annotated[
        str | None, typer.Option(help="Write the page to this folder, for any web server, and serve nothing.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Show a model in the browser: sliders for its code, samples, interpolation, and a pad to draw on.

    A row of a table is shown as bars, and a series as lines.

    The model is exported, and runs in the page on onnxruntime-web, which npm fetches once; if it cannot, the page
    fetches it from a CDN. The folder is runs/demo/NAME. With --output it is only written, for any web server. Ctrl-C
    stops the server.
    """
    from keras_vae.pages import demo, serving
    from keras_vae.runtimes.bundle import MANIFEST
    from keras_vae.zoo import store

    folder = Path(output or Path("runs") / "demo" / Path(name).resolve().name).resolve()
    with contextlib.ExitStack() as stack:
        # First, so that a port that is taken is an error before the export and not after it.
        server = None if output else stack.enter_context(serving.server(folder, port))
        with working(f"Preparing the page of {name}", quiet=json):
            if not (Path(name) / MANIFEST).is_file():
                store.entry(name)
                load_tensorflow()
            site = demo.build(name, folder, overwrite)
        url = f"http://127.0.0.1:{server.server_port}/" if server else None
        if json:
            print_json({"folder": str(site.folder), "url": url, "runtime": site.runtime, "note": site.note})
        else:
            print(f"Written: {site.folder}")
            if site.note:
                print(f"Note: {site.note}")
            print(f"Open {url} (Ctrl-C ends)" if url else "Any web server can serve it: python -m http.server")
        if server and url:
            sys.stdout.flush()
            if browser:
                import webbrowser

                webbrowser.open(url)
            with contextlib.suppress(KeyboardInterrupt):
                server.serve_forever()
            if not json:
                print("\nServing ended.")
