"""OpenVINO in a process that goes on after it."""

import subprocess
import sys

from tests.export.bundles import bundle_of
from tests.processes import interruptible

PROGRAM = """
import os, signal, sys
import numpy as np
from keras_vae import runtimes

z = np.zeros((1, 4), "float32")
first, second = (runtimes.open(sys.argv[1], "openvino") for _ in range(2))
print(np.array_equal(first.decode(z), second.decode(z)))
del first
del second
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_signal_after_two_models_were_closed_is_a_signal():
    """Each of two cores of OpenVINO changes the stack on which signals are handled: it was gone after the first."""
    words = [sys.executable, "-c", PROGRAM, str(bundle_of("conv").path)]
    with interruptible():
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True\ninterrupted\n"), done.stderr
