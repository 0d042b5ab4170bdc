"""Every model leaves Python: the exported files give what the model gives; all formats are in test_support.py."""

import numpy as np

from keras_vae import export, runtimes
from tests.conformance.cases import every_model_slowly, examples, labels, make

# The design's tolerance for codes and mean images of ordinary inputs: float32 sums in another order.
TOLERANCE = 1e-5


def agrees(name, folder, formats):
    model = make(name)
    bundle = export.export(model, folder, formats=formats)
    assert {row.format for row in bundle.parity} == set(formats)
    assert all(row.max_error <= row.tolerance for row in bundle.parity)
    condition = labels(model)
    further = {} if condition is None else {"condition": condition}
    codes = model.encode(examples(model), condition)
    for format_name in formats:
        for each in runtimes.names():
            if format_name in runtimes.formats_of(each) and runtimes.installed()[each].version:
                runtime = runtimes.open(bundle, each, format_name=format_name)
                first, *others = codes if isinstance(codes, dict) else ["z"]  # the names of levels
                code = codes[first] if isinstance(codes, dict) else codes
                np.testing.assert_allclose(runtime.encode(examples(model), **further), code, rtol=0, atol=TOLERANCE)
                images = runtime.decode(code, **{level: codes[level] for level in others}, **further)
                np.testing.assert_allclose(images, model.decode(codes, condition), rtol=0, atol=TOLERANCE)


@every_model_slowly
def test_onnx_and_saved_model(name, tmp_path):
    agrees(name, tmp_path / "bundle", ("saved_model", "onnx"))
