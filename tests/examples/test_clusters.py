"""The examples for Slurm and Kubernetes: their syntax, and the TF_CONFIG that every worker of theirs would get."""

import json
import os
import subprocess
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def cluster(tmp_path):
    """Runs a command of bash among stand-ins of Slurm and keras-vae, and returns what its workers were told."""
    stand_ins = {
        "scontrol": 'echo "node1\nnode2"',
        "srun": 'shift; for i in 0 1; do SLURM_PROCID=$i "$@" || exit 1; done',
        "keras-vae": 'echo "$* $TF_CONFIG"',
    }
    for name, script in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)

    def told(command, **environment):
        run = subprocess.run(
            ["bash", *command], capture_output=True, text=True, check=True,
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment},
        )  # fmt: skip
        words = [line.split(" ", 4) for line in run.stdout.splitlines()]
        return [(line[:4], json.loads(line[4])) for line in words]

    return told


def test_slurm_starts_one_worker_on_each_node(cluster):
    script = str(EXAMPLES / "workers.sbatch")
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    ran = cluster([script, "a.toml", "runs/a"], SLURM_JOB_ID="12345", SLURM_JOB_NODELIST="node[1-2]")
    for index, (words, config) in enumerate(ran):
        assert words == ["train", "a.toml", "--output", "runs/a"]
        assert config == {
            "cluster": {"worker": ["node1:22345", "node2:22345"]},
            "task": {"type": "worker", "index": index},
        }
    assert len(ran) == 2


def test_an_array_of_slurm_does_one_run_of_a_study_each(cluster, tmp_path):
    script = str(EXAMPLES / "sweep.sbatch")
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    (tmp_path / "keras-vae").write_text('#!/bin/bash\necho "$@"\n')
    run = subprocess.run(
        ["bash", script, "study.toml", "out"], capture_output=True, text=True, check=True,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "7"},
    )  # fmt: skip
    assert run.stdout.split() == ["sweep", "study.toml", "--output", "out", "--run", "7"]


def test_the_study_of_disentanglement_has_27_runs_and_the_array_as_many(tmp_path):
    from keras_vae.sweeps import progress, studies

    study = studies.read(EXAMPLES / "disentanglement/study.toml")
    runs = progress.survey(study, tmp_path).runs
    methods = [run.recipe.model.class_name for run in runs]
    assert [methods.count(name) for name in ("BetaVAE", "FactorVAE", "BetaTCVAE")] == [9, 9, 9] and len(runs) == 27
    assert {run.recipe.training.seed for run in runs} == {0, 1, 2}
    assert "--array=0-26\n" in (EXAMPLES / "sweep.sbatch").read_text()


def test_kubernetes_starts_one_worker_in_each_pod(cluster):
    service, job = yaml.safe_load_all((EXAMPLES / "workers.yaml").read_text())
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (count,) = (variable["value"] for variable in container["env"] if variable["name"] == "COUNT")
    assert int(count) == spec["completions"] == spec["parallelism"]
    assert pod["subdomain"] == service["metadata"]["name"] and spec["completionMode"] == "Indexed"
    ((words, config),) = cluster(container["command"][1:], COUNT=count, JOB_COMPLETION_INDEX="3")
    assert words == ["train", "/runs/recipe.toml", "--output", "/runs/out"]
    assert config["task"] == {"type": "worker", "index": 3}
    hosts = [f"{job['metadata']['name']}-{index}.keras-vae:2222" for index in range(int(count))]
    assert config["cluster"] == {"worker": hosts}
