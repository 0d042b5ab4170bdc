"""The machine that a benchmark ran on, as far as it affects the figures and is not in a row's settings."""

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

import keras_vae
from keras_vae.runtimes.base import available_processors

# The runtimes choose their kernels by these.
_FLAGS = ("avx2", "fma", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimddp", "bf16")
_VARIABLES = ("TF_ENABLE_ONEDNN_OPTS",)


def describe() -> dict[str, Any]:
    """Describe this machine in its current state.

    Returns:
      `processor`; `processors`, those this process may use; `flags` that runtimes choose kernels by; `quota`,
      processors' worth of time that the control group allows, None without a limit; `governor` of the clock, None
      if it cannot be read; `system`, `python`; `environment`, variables that select TensorFlow's kernels;
      `keras_vae`, its version; `commit`, of a checkout; `load`, the number of processors at work now, for any process;
      None if the system does not report it.
    """
    return {
        "processor": _named("model name") or platform.processor() or platform.machine(),
        "processors": available_processors(),
        "flags": [flag for flag in _FLAGS if flag in (_named("flags") or _named("Features")).split()],
        "quota": _quota(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "environment": {name: os.environ.get(name) for name in _VARIABLES},
        "keras_vae": keras_vae.__version__,
        "commit": _commit(Path(keras_vae.__file__).parents[1]),
        "load": _load(),
    }


def warnings(machine: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each reason to distrust figures of a machine, as `describe` returned it."""
    load, processors = machine["load"], machine["processors"]
    if load is None or load <= processors / 4:
        return []
    return [
        f"The machine was busy before the start, with {load:g} of {processors} processors at work: what is timed "
        f"meanwhile is too slow, by an unknown factor. Time it while nothing else runs."
    ]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _named(name: str) -> str:
    lines = _read("/proc/cpuinfo").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.partition("\t")[0].strip() == name), "")


def _load() -> float | None:
    """Measure the load over half a second: the load average would still include a benchmark that has just ended."""
    try:
        return round(psutil.cpu_percent(interval=0.5) / 100 * (os.cpu_count() or 1), 2)
    except OSError:
        return None


def _quota() -> float | None:
    """Read the quota of control groups, version 2, then 1."""
    limit, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    if not limit:
        limit, period = (_read(f"/sys/fs/cgroup/cpu/cpu.cfs_{name}_us") for name in ("quota", "period"))
    return round(int(limit) / int(period), 2) if limit.isdigit() and period.isdigit() else None


def _commit(folder: Path) -> str | None:
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        return None
