"""A mistyped attribute, anywhere, is found by the type checker: benchmarks/typos.py on a copy of the package."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "typos.py"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_typo_in_each_of_a_dozen_rooms_is_found(seed):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--seed", str(seed)], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0 and "12 of 12 found" in done.stdout, done.stdout + done.stderr
