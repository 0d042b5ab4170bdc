"""Any number of threads may call one opened bundle: each gets the answers to its own inputs."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from keras_vae import runtimes
from keras_vae.runtimes import registry
from tests.export.bundles import bundle_of

THREADS, CALLS = 8, 40
WAYS = [(name, mode) for name, known in registry.KNOWN.items() for mode in known.modes]


@pytest.mark.parametrize(("name", "mode"), WAYS)
def test_eight_threads_get_the_answers_of_one(name, mode):
    opened = runtimes.open(bundle_of("conv"), name, mode=mode)
    generator = np.random.default_rng(0)
    # Batches of several sizes, as a runtime may keep memory for the last one; two graphs, as one may share it.
    codes = [generator.normal(size=(1 + thread % 3, 4)).astype("float32") for thread in range(THREADS)]
    images = [generator.random((1 + thread % 2, 28, 28, 1)).astype("float32") for thread in range(THREADS)]
    alone = [(opened.decode(z), opened.encode(x)) for z, x in zip(codes, images, strict=True)]
    start, calls = threading.Barrier(THREADS), CALLS // 4 if "eager" in (mode or "") else CALLS

    def answers(thread):
        start.wait()
        return [(opened.decode(codes[thread]), opened.encode(images[thread])) for _ in range(calls)]

    with ThreadPoolExecutor(THREADS) as pool:
        of_threads = list(pool.map(answers, range(THREADS)))
    for expected, given in zip(alone, of_threads, strict=True):
        for pair in given:  # compared after all calls: an answer that another thread writes to is found too
            for array, right in zip(pair, expected, strict=True):
                np.testing.assert_allclose(array, right, rtol=0, atol=1e-6)
