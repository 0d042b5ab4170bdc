"""`keras-vae doctor`: what it finds on this machine, and a sentence for each thing that is wrong."""

import json

import pytest

from keras_vae.benchmarking import doctor, machine
from tests import toy_runs

HEALTHY = {
    "machine": {"processors": 4, "quota": None, "load": 0.1, "environment": {"TF_ENABLE_ONEDNN_OPTS": None}},
    "versions": {"tensorflow": "2.20.0", "keras": "3.15.1", "tensorflow-probability": "0.25.0", "numpy": "2.0.0"},
    "backend": "tensorflow",
    "devices": [{"kind": "CPU", "name": "CPU"}],
    "import_error": None,
    "xla": "cpu",
    "graphics": [],
    "threads": {"OMP_NUM_THREADS": None, "TF_NUM_INTRAOP_THREADS": None, "TF_NUM_INTEROP_THREADS": None},
}


def test_nothing_is_wrong():
    assert doctor.problems(HEALTHY) == []


@pytest.mark.parametrize(
    ("changed", "remedy"),
    [
        ({"versions": {**HEALTHY["versions"], "tensorflow": None}}, "Training needs tensorflow: pip install keras_vae"),
        ({"backend": "jax"}, "set KERAS_BACKEND=tensorflow"),
        ({"import_error": "ImportError: libcudart"}, "libcudart.: make a new environment"),
        ({"graphics": ["NVIDIA A100"]}, 'NVIDIA A100, and TensorFlow sees no GPU: .*pip install "keras_vae.gpu."'),
        ({"threads": {"OMP_NUM_THREADS": "1"}}, "OMP_NUM_THREADS=1 leaves 3 processors idle"),
        ({"machine": {**HEALTHY["machine"], "quota": 1.5}}, "Set OMP_NUM_THREADS and --threads to 1"),
        ({"machine": {**HEALTHY["machine"], "environment": {"TF_ENABLE_ONEDNN_OPTS": "0"}}}, "fast kernels: unset it"),
        ({"machine": {**HEALTHY["machine"], "load": 3.0}}, "busy"),
    ],
)
def test_each_problem_has_one_sentence_with_its_remedy(changed, remedy):
    with pytest.raises(AssertionError, match=remedy):
        raise AssertionError("; ".join(doctor.problems({**HEALTHY, **changed})))
    assert len(doctor.problems({**HEALTHY, **changed})) == 1


def test_cards_that_tensorflow_uses_are_no_problem():
    used = {"graphics": ["NVIDIA A100"], "xla": "gpu", "devices": [{"kind": "GPU", "name": "NVIDIA A100"}]}
    assert doctor.problems({**HEALTHY, **used}) == []


def test_cards_are_read_from_the_driver_s_program(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA A100-SXM4-40GB'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert doctor._graphics() == ["NVIDIA A100-SXM4-40GB"]
    program.write_text("#!/bin/sh\necho 'no driver'; exit 9\n")
    assert doctor._graphics() == []


@pytest.mark.slow
def test_this_machine(tmp_path):
    done = toy_runs.python(["-m", "keras_vae", "doctor", "--json"], tmp_path)
    facts = json.loads(done.stdout)
    assert facts["machine"]["processors"] == machine.describe()["processors"]
    assert facts["devices"] and facts["devices"][0]["kind"] == "CPU" and facts["import_error"] is None
    assert all(facts["versions"].values())


def test_a_backend_that_is_not_installed_is_named_and_not_imported(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    done = toy_runs.python(["-m", "keras_vae", "doctor", "--strict"], tmp_path)
    assert done.returncode == 1 and done.stderr == ""
    assert "Problem: Models run on Keras's TensorFlow backend, and Keras is set to jax" in done.stdout
