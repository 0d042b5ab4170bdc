"""The variants, one a file."""

from keras_vae.core import VAE as VAE
from keras_vae.models.aae import AAE as AAE
from keras_vae.models.ae import AE as AE
from keras_vae.models.annealed_vae import AnnealedVAE as AnnealedVAE
from keras_vae.models.beta_tc_vae import BetaTCVAE as BetaTCVAE
from keras_vae.models.beta_vae import BetaVAE as BetaVAE
from keras_vae.models.cvae import CVAE as CVAE
from keras_vae.models.dip_vae import DIPVAE as DIPVAE
from keras_vae.models.factor_vae import FactorVAE as FactorVAE
from keras_vae.models.flow_prior_vae import FlowPriorVAE as FlowPriorVAE
from keras_vae.models.flow_vae import FlowVAE as FlowVAE
from keras_vae.models.fsq_vae import FSQVAE as FSQVAE
from keras_vae.models.hierarchical_vae import HierarchicalVAE as HierarchicalVAE
from keras_vae.models.hyperspherical_vae import HypersphericalVAE as HypersphericalVAE
from keras_vae.models.info_vae import InfoVAE as InfoVAE
from keras_vae.models.iwae import IWAE as IWAE
from keras_vae.models.library_vae import LibraryVAE as LibraryVAE
from keras_vae.models.rae import RAE as RAE
from keras_vae.models.residual_vq_vae import ResidualVQVAE as ResidualVQVAE
from keras_vae.models.semi_supervised_vae import SemiSupervisedVAE as SemiSupervisedVAE
from keras_vae.models.sequence_vae import SequenceVAE as SequenceVAE
from keras_vae.models.vae_gan import VAEGAN as VAEGAN
from keras_vae.models.vamp_vae import VampVAE as VampVAE
from keras_vae.models.vq_vae import VQVAE as VQVAE
from keras_vae.models.wae import WAE as WAE
from keras_vae.registry import Entries

MODELS: Entries[type[VAE]] = Entries(
    "models",
    {
        model.__name__: model
        for model in (
            VAE,
            AAE,
            AE,
            AnnealedVAE,
            BetaTCVAE,
            BetaVAE,
            CVAE,
            DIPVAE,
            FactorVAE,
            FlowPriorVAE,
            FlowVAE,
            FSQVAE,
            HierarchicalVAE,
            HypersphericalVAE,
            InfoVAE,
            IWAE,
            LibraryVAE,
            RAE,
            ResidualVQVAE,
            SequenceVAE,
            SemiSupervisedVAE,
            VAEGAN,
            VampVAE,
            VQVAE,
            WAE,
        )
    },
)
