"""pythae: its `VAE` with the same layers, and the epochs of its `BaseTrainer`, without what it writes to disk."""

# The extra `peers`, which may be in another environment.
# pyright: reportMissingImports=false

import tempfile

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import nn
from torch_loop import networks

PACKAGES = ("pythae", "torch")


class Encoder(BaseEncoder):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        mean, log_var = self.network(x).chunk(2, dim=-1)
        return ModelOutput(embedding=mean, log_covariance=log_var)


class Decoder(BaseDecoder):
    def __init__(self, network):
        super().__init__()
        self.network = nn.Sequential(network, nn.Sigmoid())  # pythae's Bernoulli takes probabilities

    def forward(self, z):
        return ModelOutput(reconstruction=self.network(z))


class Contender:
    def __init__(self, case: dict, train: np.ndarray, test: np.ndarray) -> None:
        torch.manual_seed(0)
        encoder, decoder = networks(case)
        train, self.test = (torch.from_numpy(x).reshape(-1, 1, 28, 28) for x in (train, test))
        config = VAEConfig(input_dim=(1, 28, 28), latent_dim=case["latent_dim"], reconstruction_loss="bce")
        self.model = VAE(config, Encoder(encoder), Decoder(decoder))
        settings = BaseTrainerConfig(
            output_dir=tempfile.mkdtemp(),
            num_epochs=1,
            learning_rate=1e-3,
            per_device_train_batch_size=case["batch_size"],
            train_dataloader_num_workers=0,
            no_cuda=True,
        )
        self.trainer = BaseTrainer(self.model, BaseDataset(train, torch.zeros(len(train))), training_config=settings)
        self.trainer.prepare_training()
        self.epoch = 0

    def epochs(self, count: int) -> None:
        for _ in range(count):
            self.epoch += 1
            self.trainer.train_step(self.epoch)

    @torch.no_grad()
    def bound(self) -> float:
        """The ELBO of the test images, nats."""
        self.model.eval()
        losses = [float(self.model({"data": part}).loss) for part in self.test.split(1000)]
        self.model.train()
        return -float(np.mean(losses))
