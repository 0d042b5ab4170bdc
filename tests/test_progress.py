"""Progress: who hears it, in which words; what a notebook's cell shows; and a terminal."""

import os
import pty
import re
import subprocess
import sys

import numpy as np
import pytest

from keras_vae import checks, evaluation, export, progress
from tests.toys import binary, compiled

BLOCKS = "from keras_vae import checks, progress; import numpy as np; progress._PATIENCE = 0\n"
BLOCKS += "checks.in_blocks(lambda _, part: part['x'], {'x': np.zeros((5, 1))}, size=2, what='encode');"


def test_what_is_said_reaches_the_innermost_listener_with_the_titles_between():
    heard, inner = [], []
    progress.say("to nobody")
    with progress.listening("outer", heard.append):
        progress.say("a")
        with progress.listening("first"), progress.listening(""), progress.listening("second"):
            progress.count(1000, 2000)
        with progress.listening("of its caller", inner.append):
            progress.say("b")
        progress.say("c")
    progress.say("to nobody")
    assert heard == ["a", "first: second: 1,000 of 2,000", "c"] and inner == ["b"]


def test_blocks_are_counted_where_there_are_several():
    heard = []
    with progress.listening("", heard.append):
        for rows in (2, 5):
            checks.in_blocks(lambda _, part: part["x"], {"x": np.zeros((rows, 1))}, size=2, what="encode")
    assert heard == ["encode: 2 of 5", "encode: 4 of 5", "encode: 5 of 5"]


def test_long_operations_say_how_far_they_are(tmp_path):
    model, x, heard = compiled(), binary(300), []
    with progress.listening("", heard.append):
        model.fit(x, epochs=2, batch_size=100, verbose=0)
        model.log_prob(x, samples=2)
        evaluation.evaluate(model, x, metrics=["latent.active_units"])
        export.export(model, tmp_path / "out", formats=("onnx",))
    assert heard[:4] == [
        "epoch 1 of 2",
        "epoch 2 of 2",
        "log p(x), 2 samples each: 256 of 300",
        "log p(x), 2 samples each: 300 of 300",
    ]
    assert {"latent: active_units", "writing onnx", "comparing onnx on onnxruntime with Keras"} <= set(heard)
    words = []
    evaluation.evaluate(model, x[:20], metrics=["latent.active_units"], report=words.append)
    assert words == ["latent: active_units"]


def test_a_cell_of_a_notebook_shows_one_line_and_leaves_none():
    manager = pytest.importorskip("jupyter_client").KernelManager(kernel_name="python3")
    pytest.importorskip("ipykernel")
    messages = []
    manager.start_kernel(env={**os.environ, "PYTHONPATH": os.getcwd()})
    try:
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        for code in (BLOCKS, "progress._PATIENCE = 60\n" + BLOCKS.split("\n")[1]):
            assert (
                client.execute_interactive(code, output_hook=messages.append, timeout=60)["content"]["status"] == "ok"
            )
        client.stop_channels()
    finally:
        manager.shutdown_kernel(now=True)
    shown = [message for message in messages if message["msg_type"].endswith("display_data")]
    assert [message["msg_type"] for message in shown] == ["display_data"] + 3 * ["update_display_data"]
    assert len({message["content"]["transient"]["display_id"] for message in shown}) == 1
    texts = [message["content"]["data"]["text/plain"] for message in shown]
    assert texts == ["encode: 2 of 5", "encode: 4 of 5", "encode: 5 of 5", ""], "and none of what is over at once"


def test_a_terminal_shows_it_beside_the_title_of_a_command():
    code = BLOCKS.replace("\n", "\nfrom keras_vae.cli.output import working\nwith working('Encoding vae_mnist'): ")
    terminal, end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run([sys.executable, "-c", code], stderr=end, stdout=subprocess.PIPE, check=True, env=environment)
    os.close(end)
    written = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", os.read(terminal, 100_000).decode())
    os.close(terminal)
    assert "Encoding vae_mnist" in written and "Encoding vae_mnist: encode: 5 of 5" in written
    assert done.stdout == b""
