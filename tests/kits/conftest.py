"""The demo that the tests of the page share."""

import pytest

from keras_vae import export, zoo
from keras_vae.pages import demo
from tests import browser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The demo of the zoo's model, its runtime from npm."""
    browser.require(browser.chromium(), "Chromium: apt-get install chromium")
    folder = tmp_path_factory.mktemp("web")
    bundle = export.export(zoo.load("beta_vae_mnist"), folder / "bundle", formats=("onnx",))
    made = demo.build(bundle.path, folder / "site")
    browser.require(made.runtime == "local", f"the page's runtime from npm ({made.note})")
    return made
