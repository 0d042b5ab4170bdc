"""Progressive growing: train on small images, then double them and go on.

Karras et al. 2018, https://arxiv.org/abs/1710.10196, for autoencoders, whose networks are both called "growing". Where
the paper's networks see an image x of the new size, the new stage g is mixed with what stood next to the pixels before,

    encoder: (1 - alpha) * e(pool(x)) + alpha * g(x),    decoder: (1 - alpha) * repeat(d(h)) + alpha * g(h),

pool the mean over 2x2 pixels, repeat each pixel written four times, h the features of the stage below (figure 2). alpha
rises from 0 to 1 by 1 / fade_steps with each training step, `VAE.after_step`. At alpha = 0 the grown model is the old
one on images of twice the size, so log p(x|z) of a repeated image is that of four times as many pixels; at 1 it is a
network that never grew.

`grow` doubles a model once. `stages` plans a whole training, of a model that is described at its final size.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras import ops

from keras_vae import backend
from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError
from keras_vae.networks.growing import GrowingDecoder, GrowingEncoder, GrowingNetwork
from keras_vae.types import Tensor

if TYPE_CHECKING:
    from keras_vae.core import VAE


def grow(model: "VAE", filters: int | None = None, fade_steps: int = 1000) -> "VAE":
    """Return a model of images twice as high and wide: the weights of `model`, and one stage more in both networks.

    At first it does what `model` does: its code of an image is that of the image at half the size, and its images are
    those of `model`, each pixel repeated. Over `fade_steps` training steps the new stages fade in. They are trained
    together with all else. Compile it before fit; the optimizer starts afresh.

    Args:
      model: its encoder and decoder are "growing" networks, and whatever grew before has faded in.
      filters: the channels of the new stage; by default those of the first one.
      fade_steps: training steps until the new stages stand alone.

    Raises:
      UserError: other networks, a stage that is still fading in, or a model with further weights that have the size of
        an image.
    """
    fade_steps = check_whole_number(fade_steps, "fade_steps")
    networks = _growing_networks(model)
    added = {
        role: check_whole_number(network.filters[0] if filters is None else filters, "filters")
        for role, network in networks.items()
    }
    height, width, channels = model.image_shape
    all_filters = {role: (added[role], *network.filters) for role, network in networks.items()}
    grown = _resized(model, (2 * height, 2 * width, channels), all_filters, fade_steps)
    inherit(grown, model)
    return grown


def inherit(grown: "VAE", model: "VAE") -> None:
    """Give `grown` the weights of `model`, whose networks have one stage less: it then does what `model` does.

    Raises:
      UserError: a stage of `model` that is still fading in, or weights that have the size of an image.
    """
    for role, network in _growing_networks(model).items():
        if float(network.alpha) < 1:
            raise UserError(
                f"A model grows when what grew before has faded in. Given: the {role} has alpha {float(network.alpha)} "
                f"of 1. Train it for more steps."
            )
    for target, source in zip(_other_weights(grown), _other_weights(model), strict=True):
        if target.shape != source.shape:
            raise UserError(
                f"{type(model).__name__} has weights that have the size of an image and would not grow with it. Given: "
                f"{source.path} of shape {tuple(source.shape)}. Train one of the larger size from the start."
            )
        target.assign(source)
    for role, network in _growing_networks(model).items():
        getattr(grown, role).inherit(network)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a training in which the images have one size.

    Args:
      model: to be trained, of images of this size; not compiled.
      halvings: how often the images of the data are halved for it; 0 in the last stage.
      first_epoch: the number of its first epoch.
      end: the number of epochs after which it is finished, those of the stages before it counted.
    """

    model: "VAE"
    halvings: int
    first_epoch: int
    end: int

    def images(self, x: Tensor) -> Tensor:
        """Images of the data, `(batch, height, width, channels)`, at this stage's size: means over the pixels.

        Of a likelihood of L grey levels they are rounded to its levels, k / (L - 1): of binary images a pixel is white
        where more than half of it was.
        """
        if not self.halvings:
            return x
        small = ops.average_pool(x, 2**self.halvings)
        steps = self.model.likelihood_family.levels - 1
        return ops.round(small * steps) / steps if steps > 0 else small

    def batches(self, dataset: Any) -> Any:
        """A `tf.data.Dataset` of dicts with "x", as of `keras_vae.data.load`, with its images at this stage's size."""
        if not self.halvings:
            return dataset
        return dataset.map(backend.plain(lambda batch: {**batch, "x": self.images(batch["x"])}))


def stages(model: "VAE", grow_after: Sequence[int], epochs: int, steps_per_epoch: int) -> list[Stage]:
    """Return the stages of a training that ends with `model`: before it the same model without its first stages.

    Train them one after the other, on `Stage.batches` of the data, from epoch `Stage.first_epoch` to `Stage.end`; call
    `inherit(stage.model, previous.model)` between two. The last one's model is `model` itself.

    Args:
      model: of images of the final size; its "growing" networks have a `fade_steps`, which holds for each stage, and
        more stages than there are numbers in `grow_after`.
      grow_after: epochs after which the images double, ascending.
      epochs: of the whole training.
      steps_per_epoch: training steps in an epoch.

    Raises:
      UserError: networks that do not grow or have too few stages; epochs that do not ascend; or a stage that would not
        have faded in when it ends.
    """
    ends = [*(check_whole_number(epoch, "an epoch in grow") for epoch in grow_after), epochs]
    starts = [0, *ends[:-1]]
    if any(start >= end for start, end in zip(starts, ends, strict=True)):
        raise UserError(
            f"The epochs after which images double ascend, and lie below the number of epochs. Given: "
            f"grow={list(grow_after)!r}, epochs={epochs}."
        )
    networks = _growing_networks(model)
    for role, network in networks.items():
        if ends[1:] and (len(network.filters) <= len(grow_after) or not network.fade_steps):
            raise UserError(
                f"A model that grows {len(grow_after)} times has networks of more than {len(grow_after)} filters, and "
                f"fade_steps of 1 or more. Given: the {role} has filters={network.filters}, "
                f"fade_steps={network.fade_steps}."
            )
        shortest = min((end - start for start, end in zip(starts[1:], ends[1:], strict=True)), default=0)
        if ends[1:] and network.fade_steps > shortest * steps_per_epoch:
            raise UserError(
                f"A stage fades in before the next one, or the end. Given: fade_steps={network.fade_steps} of the "
                f"{role}, and {shortest} epochs of {steps_per_epoch} steps. Lower fade_steps, or train longer."
            )
    planned = []
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        halvings = len(grow_after) - index
        planned.append(Stage(_without(model, halvings, fading=index > 0) if halvings else model, halvings, start, end))
    return planned


def _without(model: "VAE", halvings: int, fading: bool) -> "VAE":
    """A model of images halved so many times, without as many of the first stages; `fading`: its first one fades in."""
    height, width, channels = model.image_shape
    networks = _growing_networks(model)
    fade_steps = networks["encoder"].fade_steps if fading else 0
    kept = {role: network.filters[halvings:] for role, network in networks.items()}
    return _resized(model, (height >> halvings, width >> halvings, channels), kept, fade_steps)


def _resized(model: "VAE", image_shape: Sequence[int], filters: Mapping[str, Sequence[int]], fade_steps: int) -> "VAE":
    """A model with the configuration of `model`, but for the size of its images and the stages of its networks."""
    config = {**model.get_config(), "image_shape" if model.of_images else "x_shape": tuple(image_shape)}
    for role, network in _growing_networks(model).items():
        config[role] = {
            "name": "growing",
            "filters": tuple(filters[role]),
            "fade_steps": fade_steps,
            "dense": network.dense,
            "activation": network.activation,
        }
    return type(model).from_config(config)


def _growing_networks(model: "VAE") -> dict[str, GrowingNetwork]:
    networks = {"encoder": (model.encoder, GrowingEncoder), "decoder": (model.decoder, GrowingDecoder)}
    for role, (network, kind) in networks.items():
        if not isinstance(network, kind):
            raise UserError(
                f"Only growing networks grow: make the model with encoder='growing' and decoder='growing'. Given: the "
                f"{role} is a {type(network).__name__}."
            )
    return {role: network for role, (network, _) in networks.items()}


def _other_weights(model: "VAE") -> list[Any]:
    """The weights that do not belong to the encoder or the decoder."""
    of_networks = {id(weight) for weight in (*model.encoder.weights, *model.decoder.weights)}
    return [weight for weight in model.weights if id(weight) not in of_networks]
