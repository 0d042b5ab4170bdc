"""What README.md says: its Python works when pasted, its links lead somewhere, and it is short."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_python_block_works_when_pasted(tmp_path):
    code = re.findall(r"```python\n(.*?)```", README, flags=re.S)[0]
    assert len(code.splitlines()) <= 12, "ten lines, with the import and its blank"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    elbo = re.search(r"ELBO (-\d+\.\d+) nats per digit", done.stdout)
    assert elbo is not None and -130 < float(elbo[1]) < -90, done.stdout
    difference = re.search(r"largest difference (\S+)", done.stdout)
    assert difference is not None and float(difference[1]) <= 1e-5, done.stdout


@pytest.mark.slow
def test_the_second_python_block_works_when_pasted(tmp_path):
    code = re.findall(r"```python\n(.*?)```", README, flags=re.S)[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_links_and_pictures_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_it_is_short():
    assert len(README.split()) < 1200


def test_every_model_is_named():
    from keras_vae.models import MODELS

    assert not [name for name in MODELS if f"`{name}`" not in README]
