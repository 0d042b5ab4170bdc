"""PyOD's VAE, AutoEncoder and IsolationForest on one split after the other. Imports no keras_vae.

Each line of the input is JSON: `path`, an .npz of the rows `training`, `validation` and `both`; `steps`, the budget;
`batch_size`, `networks`, `learning_rate` and `seed`. The answer has the scores of `both` by each detector. A network
has the numbers `latent_dim` and `units`; of PyOD's own, which has none, a detector takes its defaults.
"""

# The extra `peers`, which may be in another environment.
# pyright: reportMissingImports=false

import itertools
import json
import os
import sys
from importlib.metadata import version

import numpy as np
import torch
from pyod.models.auto_encoder import AutoEncoder
from pyod.models.iforest import IForest
from pyod.models.vae import VAE

PACKAGES = ("pyod", "torch")


def layers(detector: type, network: dict) -> dict:
    """The arguments of a detector for a network."""
    if not network:
        return {}
    latent, units = network["latent_dim"], network["units"]
    if detector is AutoEncoder:
        return {"hidden_neuron_list": [units, latent]}
    return {"encoder_neuron_list": [units], "decoder_neuron_list": [units], "latent_dim": latent}


def best(detector: type, arrays: dict, task: dict) -> tuple[np.ndarray, dict]:
    """The scores by the network and steps whose validation rows have the lowest scores, fitted on these rows too."""

    def fitted(rows: np.ndarray, network: dict, share: float):
        size = min(task["batch_size"], len(rows))
        epochs = max(1, round(task["steps"] * share / (len(rows) // size)))
        model = detector(
            epoch_num=epochs, batch_size=size, lr=task["learning_rate"], random_state=task["seed"], verbose=0,
            **layers(detector, network),
        )  # fmt: skip
        return model.fit(rows)

    tried = []
    for network, share in itertools.product(task["networks"], task["shares"]):
        model = fitted(arrays["training"], network, share)
        mean = float(np.mean(model.decision_function(arrays["validation"])))
        tried.append((mean, network, share))
    _, network, share = min(tried, key=lambda one: one[0])
    model = fitted(np.concatenate([arrays["training"], arrays["validation"]]), network, share)
    return model.decision_function(arrays["both"]), {**network, "share_of_steps": share}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")  # what a library prints is not an answer
    os.dup2(2, 1)
    torch.set_num_threads(1)
    for line in sys.stdin:
        task = json.loads(line)
        with np.load(task["path"]) as file:
            arrays = {name: file[name].astype("float32") for name in file.files}
        scores, choices = {}, {}
        for name, detector in {"VAE": VAE, "AutoEncoder": AutoEncoder}.items():
            scores[name], choices[name] = best(detector, arrays, task)
        forest = IForest(random_state=task["seed"])
        forest.fit(np.concatenate([arrays["training"], arrays["validation"]]))
        scores["IsolationForest"] = forest.decision_function(arrays["both"])
        answer = {
            "scores": {name: np.asarray(one, "float64").tolist() for name, one in scores.items()},
            "chosen": choices,
            "versions": {package: version(package) for package in PACKAGES},
        }
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
