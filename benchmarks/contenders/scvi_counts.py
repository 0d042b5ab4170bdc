"""scvi-tools: its `SCVI` of counts with its own trainer, at the network of the case, without dropout and batch norm."""

# The extra `peers`, which may be in another environment.
# pyright: reportMissingImports=false

import logging
import warnings

import anndata
import numpy as np
import scvi
from scipy import sparse

PACKAGES = ("scvi-tools", "torch", "lightning")


def read(path: str, case: dict) -> tuple[sparse.csr_matrix]:
    """The counts of the case, float32."""
    return (sparse.load_npz(path).tocsr().astype("float32"),)


class Contender:
    def __init__(self, case: dict, counts: sparse.csr_matrix) -> None:
        warnings.simplefilter("ignore")  # that there may be more workers, and that the end was asked for
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        scvi.settings.seed = 0
        self.case, cells = case, anndata.AnnData(counts)
        scvi.model.SCVI.setup_anndata(cells)
        self.model = scvi.model.SCVI(
            cells, n_hidden=case["hidden"], n_latent=case["latent_dim"], n_layers=1, dropout_rate=0.0,
            gene_likelihood="nb", use_batch_norm="none", use_layer_norm="none",
        )  # fmt: skip

    def epochs(self, count: int) -> None:
        self.model.train(
            max_epochs=count, accelerator="cpu", train_size=1.0, batch_size=self.case["batch_size"],
            plan_kwargs={"lr": 1e-3, "n_epochs_kl_warmup": None}, enable_progress_bar=False, logger=False,
        )  # fmt: skip

    def recovered(self) -> dict[str, list]:
        """The logarithm of each gene's dispersion, and the mean code of each cell."""
        codes = np.asarray(self.model.get_latent_representation())
        return {"log_dispersion": self.model.module.px_r.detach().numpy().tolist(), "codes": codes.tolist()}
