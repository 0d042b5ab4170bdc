"""The example of progressive growing, on few sprites: it grows twice, and writes its picture."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "progressive_growing.py"


@pytest.mark.slow
def test_it_grows_twice_and_draws_its_stages(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("progressive_growing", SCRIPT)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    elbos = example.main([str(tmp_path / "grown"), "--examples", "40", "--epochs", "1", "--batch-size", "20"])
    assert len(elbos) == 3 and np.isfinite(elbos).all()
    printed = capsys.readouterr().out
    assert [f"{size}x{size}: ELBO" in printed for size in (16, 32, 64)] == [True] * 3
    assert (tmp_path / "grown" / "growing.png").stat().st_size > 1_000
