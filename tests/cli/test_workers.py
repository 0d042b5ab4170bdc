"""`keras-vae train` by several workers: what TF_CONFIG may say; and the proof of `make proof-workers`, in small."""

import json

import pytest

from keras_vae import backend
from keras_vae.backend import workers
from keras_vae.errors import UserError


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "TF_CONFIG is JSON"),
        ("[]", "TF_CONFIG is JSON"),
        (json.dumps({"cluster": {"worker": ["a:1", "b:1"]}}), "TF_CONFIG is JSON"),
        (json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}), "the task worker 1"),
        (json.dumps({"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}), "a cluster of workers"),
    ],
)
def test_a_config_that_is_not_of_workers_is_refused(monkeypatch, config, message):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match=message):
        workers.of_environment()


@pytest.mark.parametrize(
    "config", ["", "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}']
)
def test_one_worker_trains_as_a_process_alone(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    assert workers.of_environment() == backend.Replica(0, 1)


def test_the_chief_is_the_first(monkeypatch):
    cluster = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    for kind, index, number in (("chief", 0, 0), ("worker", 1, 2)):
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}}))
        assert workers.of_environment() == backend.Replica(number, 3)


@pytest.mark.slow
def test_a_killed_worker_ends_the_others_and_the_run_resumes_to_equal_weights(tmp_path):
    from tests.proofs.workers import disturbed

    assert disturbed(tmp_path, count=2, kills=1) == 0
