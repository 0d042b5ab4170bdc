"""A LiteRT file with custom operations, or with weights elsewhere, is refused before an interpreter sees it."""

import contextlib
import re

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_vae import runtimes
from keras_vae.errors import CorruptFileError
from keras_vae.runtimes.safety.litert import require_harmless
from tests.export.bundles import bundle_of, copied, sealed


def written(model):
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture
def model():
    return schema.ModelT.InitFromPackedBuf(bundle_of("mlp").read("decoder.tflite"))


def custom(model):
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0].customCode = "FlexWriteFile"


def custom_in_the_old_field(model):
    model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM


def named_only(model):
    model.operatorCodes[-1].customCode = "FlexPyFunc"


def another_file(model):
    group = schema.ExternalBufferGroupT()
    group.name = "../../../etc/passwd"
    model.externalBufferGroups = [group]


def another_buffer(model):
    model.externalBuffers = [schema.ExternalBufferT()]


def behind(model):
    model.buffers[1].offset, model.buffers[1].size = 10**6, 100


FORGED = {
    custom: "the custom operation b'FlexWriteFile'",
    custom_in_the_old_field: "the custom operation None",
    named_only: "the custom operation b'FlexPyFunc'",
    another_file: "weights in other files",
    another_buffer: "weights in other files",
    behind: "weights behind its flatbuffer",
}


def test_what_an_export_writes_passes(model):
    for kind in ("mlp", "conv"):
        for file in bundle_of(kind).formats["litert"]["files"].values():
            require_harmless(bundle_of(kind).read(file), file)
    require_harmless(written(model), "again.tflite")


@pytest.mark.parametrize("forge", FORGED)
def test_forged(forge, model, tmp_path):
    forge(model)
    folder = copied("mlp", tmp_path)
    (folder / "decoder.tflite").write_bytes(written(model))
    with pytest.raises(CorruptFileError, match=rf"decoder\.tflite, with {re.escape(FORGED[forge])}.*Do not open"):
        runtimes.open(sealed(folder), "litert")


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\xff" * 64, b"\x00" * 64, bytes(range(256))])
def test_no_flatbuffer(content):
    with pytest.raises(CorruptFileError, match="no flatbuffer"):
        require_harmless(content, "x.tflite")


def test_cut_or_changed_anywhere_it_passes_or_is_refused():
    content = bundle_of("mlp").read("decoder.tflite")
    for place in range(0, 400, 3):
        for changed in (content[:place], content[:place] + b"\xff" + content[place + 1 :]):
            with contextlib.suppress(CorruptFileError):
                require_harmless(changed, "x.tflite")
