"""Progressive growing: train on small images, then double them and go on.

Karras et al. 2018, https://arxiv.org/abs/1710.10196, for autoencoders, whose networks are both called "growing".
"""

from typing import TYPE_CHECKING, Any

from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError
from keras_vae.networks.growing import GrowingDecoder, GrowingEncoder

if TYPE_CHECKING:
    from keras_vae.core import VAE


def grow(model: "VAE", filters: int | None = None, fade_steps: int = 1000) -> Any:
    """A model of images twice as high and wide, with the weights of `model` and one stage more in both networks.

    At first it does what `model` does: its code of an image is that of the image at half the size, and its images are
    those of `model`, each pixel repeated. Over `fade_steps` training steps the new stages fade in. They are trained
    together with all else. Compile it before fit; the optimizer starts anew.

    Args:
      model: its encoder and decoder are "growing" networks, and whatever grew before has faded in.
      filters: the channels of the new stage; by default those of the first one.
      fade_steps: training steps until the new stages stand alone.

    Raises:
      UserError: other networks, a stage that is still fading in, or a model with further weights that have the size of
        an image.
    """
    fade_steps = check_whole_number(fade_steps, "fade_steps")
    networks = {"encoder": model.encoder, "decoder": model.decoder}
    kinds = (GrowingEncoder, GrowingDecoder)
    for (role, network), kind in zip(networks.items(), kinds, strict=True):
        if not isinstance(network, kind):
            raise UserError(
                f"Only growing networks grow: make the model with encoder='growing' and decoder='growing'. Given: the "
                f"{role} is a {type(network).__name__}."
            )
        if float(network.alpha) < 1:
            raise UserError(
                f"A model grows when what grew before has faded in. Given: the {role} has alpha {float(network.alpha)} "
                f"of 1. Train it for more steps."
            )
    height, width, channels = model.image_shape
    config = {**model.get_config(), "image_shape": (2 * height, 2 * width, channels)}
    for role, network in networks.items():
        own = {name: getattr(network, name) for name in ("dense", "activation")}
        new = check_whole_number(network.filters[0] if filters is None else filters, "filters")
        config[role] = {"name": "growing", "filters": (new, *network.filters), "fade_steps": fade_steps, **own}
    grown = type(model).from_config(config)
    for mine, theirs in zip(_others(grown), _others(model), strict=True):
        if mine.shape != theirs.shape:
            raise UserError(
                f"{type(model).__name__} has weights that have the size of an image and would not grow with it. Given: "
                f"{theirs.path} of shape {tuple(theirs.shape)}. Train one of the larger size from the start."
            )
        mine.assign(theirs)
    for role, network in networks.items():
        getattr(grown, role).inherit(network)
    return grown


def _others(model: "VAE") -> list[Any]:
    """The weights that do not belong to the encoder or the decoder."""
    of_networks = {id(weight) for weight in (*model.encoder.weights, *model.decoder.weights)}
    return [weight for weight in model.weights if id(weight) not in of_networks]
