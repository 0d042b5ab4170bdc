"""The worker processes of a benchmark, from the parent's side: start, request, stop."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import keras_vae

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


class WorkerFailed(Exception):
    """An error in a worker, or its unexpected end."""


class WorkerProcess:
    """One process that runs one runtime. Threads are limited before it imports anything.

    Args:
      threads: the number that it may use.
      timeout: seconds to wait for an answer.
    """

    def __init__(self, threads: int, timeout: float) -> None:
        self.timeout = timeout
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by `stop`
        environment = {
            **os.environ,
            **dict.fromkeys(_THREAD_VARIABLES, str(threads)),
            "TF_NUM_INTEROP_THREADS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "KERAS_VAE_WORKER_THREADS": str(threads),
            "PYTHONPATH": os.pathsep.join(
                [str(Path(keras_vae.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }
        # In a new session: Ctrl-C reaches the benchmark alone, which then stops its workers.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "keras_vae.benchmarking.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        """Send a request and return the answer.

        Raises:
          WorkerFailed: the worker answered with an error, ended, or did not answer within `timeout` seconds.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has ended: the code below finds the reason
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        try:
            line = self._answers.get(timeout=self.timeout)
        except queue.Empty:
            self.stop()
            raise WorkerFailed(f"no answer in {self.timeout:g} s; its process was ended") from None
        if line is None:
            raise WorkerFailed(f"its process ended with status {self._process.wait()}{self._last_words()}")
        answer = json.loads(line)
        if not answer.pop("ok"):
            raise WorkerFailed(answer["error"])
        return answer

    def stop(self) -> None:
        """Kill the process and wait until it has ended."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._errors.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # closed by `stop`
            for line in self._process.stdout:
                self._answers.put(line)
        self._answers.put(None)

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        return f": {lines[-1].strip()[:200]}" if lines else ""
