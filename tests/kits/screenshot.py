"""The picture of the page in export/web/README.md: python -m tests.kits.screenshot, from the checkout's folder.

Exports cvae_mnist, chooses a class, draws a code, and writes export/web/screenshot.png.
"""

import io
import tempfile
from pathlib import Path

from PIL import Image

from keras_vae.pages import demo, serving
from tests import browser

TARGET = Path(__file__).parents[2] / "export" / "web" / "screenshot.png"
MODEL = "cvae_mnist"
WIDTH = 1120
COLOURS = 64
# The page's draws, the same every time: Math.random as a generator of Park and Miller.
SEEDED = "{ let state = 7; Math.random = () => (state = (16807 * state) % 2147483647) / 2147483647; }"
SHOWN = "document.querySelector('main')?.hidden === false && document.querySelectorAll('#grid canvas').length === 16"


def main(folder: Path, target: Path) -> None:
    """Take the picture of the demo in `folder`."""
    with browser.served(serving.server(folder, 0)) as url, browser.page() as page:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=SEEDED)
        page.call("Emulation.setScrollbarsHidden", hidden=True)
        page.size(WIDTH, WIDTH)
        page.open(url)
        page.wait(SHOWN)
        page.run("document.querySelector('#classes [value=\"5\"]').click()")
        page.run("document.querySelector('#random').click()")
        page.run("new Promise((done) => setTimeout(done, 1000))")
        # Down to the samples' end.
        height = page.run("document.querySelector('#grid').getBoundingClientRect().bottom + 8")
        page.size(WIDTH, round(height))
        content = page.picture(whole=False)
        assert page.errors == [], page.errors
    few = Image.open(io.BytesIO(content)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(target, optimize=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(demo.build(MODEL, Path(scratch) / "site").folder, TARGET)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")
