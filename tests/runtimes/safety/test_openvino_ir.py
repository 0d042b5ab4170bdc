"""A graph of OpenVINO with operations of an extension, or constants outside of its weights, is refused unread."""

import re

import pytest

from keras_vae import runtimes
from keras_vae.errors import CorruptFileError
from keras_vae.runtimes.safety.openvino_ir import require_harmless
from tests.export.bundles import bundle_of, copied, sealed

BOMB = b'<?xml version="1.0"?><!DOCTYPE n [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><net>&b;</net>'


def pair(kind="mlp", graph="decoder"):
    bundle = bundle_of(kind)
    return bundle.read(f"openvino/{graph}.xml"), bundle.read(f"openvino/{graph}.bin")


def test_what_an_export_writes_passes():
    for kind in ("mlp", "conv"):
        for graph in ("encoder", "decoder"):
            require_harmless(*pair(kind, graph), "x.xml")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            rb'type="Sigmoid" version="opset1"',
            b'type="Evil" version="extension"',
            "the operation 'Evil' of 'extension'",
        ),
        (rb'type="Sigmoid" version="opset1"', b'type="Evil"', "the operation 'Evil' of ''"),
        (rb'offset="\d+" size="', b'offset="99999999" size="', "a constant at 99999999"),
        (rb'offset="\d+" size="\d+"', b'offset="18446744073709551600" size="32"', "a constant at 184467440737095516"),
        (rb'offset="\d+" size="\d+"', b'offset="-8" size="8"', "a constant at -8"),
        (rb"^.*$", BOMB, "a declaration of entities"),
        (rb"^.*$", BOMB.decode().encode("utf-16"), "a declaration of entities"),
        (rb"^.*$", b"<graph/>", "the element 'graph'"),
        (rb"</net>", b"", "no XML"),
        (rb"^.*$", b"", "no XML"),
    ],
)
def test_forged(old, new, said, tmp_path):
    content, _ = pair()
    changed, count = re.subn(old, new, content, count=1, flags=re.DOTALL)
    assert count == 1
    folder = copied("mlp", tmp_path)
    (folder / "openvino" / "decoder.xml").write_bytes(changed)
    with pytest.raises(CorruptFileError, match=rf"decoder\.xml, with {re.escape(said)}.*Do not open it"):
        runtimes.open(sealed(folder), "openvino")


def test_a_file_of_another_frontend_under_its_name(tmp_path):
    """OpenVINO would know a SavedModel, a graph of TensorFlow or of LiteRT by its contents, and open it."""
    folder = copied("mlp", tmp_path)
    (folder / "openvino" / "decoder.xml").write_bytes(bundle_of("mlp").read("decoder.tflite"))
    with pytest.raises(CorruptFileError, match=r"declaration of entities|no XML"):
        runtimes.open(sealed(folder), "openvino")
