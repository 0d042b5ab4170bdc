"""Graphs of autoregressive networks, one step each, so that a search or a draw can run outside of Python."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras import ops

from keras_vae import backend
from keras_vae.networks import raster
from keras_vae.types import Graph, Spec, Tensor

if TYPE_CHECKING:
    from keras_vae.models.sequence_vae import SequenceVAE
    from keras_vae.networks.pixelcnn import PixelCNN


def step_graphs(model: "SequenceVAE") -> list[Graph]:
    """Return the graphs of a decoder of tokens, `decoder_start` and `decoder_step`.

    `decoder_start`: z -> the first `state`. `decoder_step`: token, state, z -> the next `logits` and `next_state`.

    The token before the first is 0. No output has the name of an input: tf2onnx cannot tell them apart.

    Args:
      model: its decoder has `initial_state` and `step`, as `networks.GRUDecoder`.
    """
    codes = model.latent_spec()
    units = model.decoder.initial_state(ops.zeros((1, model.latent_dim), model.float_dtype)).shape[-1]

    def start(z: Tensor) -> dict[str, Tensor]:
        return {"state": ops.cast(model.decoder.initial_state(z), model.float_dtype)}

    def step(token: Tensor, state: Tensor, z: Tensor) -> dict[str, Tensor]:
        logits, state = model.decoder.step(token, state, z)
        return {"logits": ops.cast(logits, model.float_dtype), "next_state": ops.cast(state, model.float_dtype)}

    inputs = {"token": Spec((), "int32", "index", model.vocabulary_size), "state": Spec((units,), "float32", "code")}
    return [
        Graph("decoder_start", "start", codes, start, "state", ("state",)),
        Graph("decoder_step", "step", inputs | codes, step, "logits", ("next_state",)),
    ]


def raster_graphs(network: "PixelCNN", shape: Sequence[int], grid: tuple[int, int]) -> list[Graph]:
    """Return the graphs of a PixelCNN over codes: `prior_row`, `prior_step` and `prior_sampler`.

    `prior_row`, called once a row: the row above, and the state of rows -> `above`, an input for each position of the
    row, and `next_rows`. `prior_step`, called once a position: the integer to the left, a position of `above`, and the
    state of the row -> `logits` and `next_left`. States start as zeros; `entries` stands for the integers to the left
    of a row, and above the first. `prior_sampler`: noise -> `codes`, a draw if the noise is Gumbel(0, 1): the argmax of
    logits + noise at each position.

    Args:
      network: a `PixelCNN`.
      shape: of a code.
      grid: its rows and columns.
    """
    (height, width), count = grid, network.entries
    (rows, _), (left, above) = raster.row_shapes(network, width), raster.place_shapes(network)

    def row(last_row: Tensor, rows: Tensor) -> dict[str, Tensor]:
        above, rows = raster.next_row(network, last_row, rows)
        return {"above": above, "next_rows": rows}

    def step(last: Tensor, above: Tensor, left: Tensor) -> dict[str, Tensor]:
        logits, left = raster.next_place(network, last, above, left)
        return {"logits": logits, "next_left": left}

    def sample(noise: Tensor) -> dict[str, Tensor]:
        by_position = ops.reshape(noise, (-1, height * width, count))

        def choose(logits: Tensor, position: Tensor) -> Any:
            # Axis 1, not -1: in a loop tf2onnx does not always know the rank, and writes one or the other.
            return backend.argmax(logits + ops.take(by_position, position, axis=1), axis=1)

        codes = raster.draw(network, ops.shape(by_position)[0], height, width, choose)
        return {"codes": ops.reshape(codes, (-1, *shape))}

    row_inputs = {"last_row": Spec((width,), "int32", "index", count + 1), "rows": Spec(rows, "float32", "noise")}
    step_inputs = {
        "last": Spec((), "int32", "index", count + 1),
        "above": Spec(above, "float32", "noise"),
        "left": Spec(left, "float32", "noise"),
    }
    noise = {"noise": Spec((*shape, count), "float32", "noise")}
    return [
        Graph("prior_row", "prior_row", row_inputs, row, "above", (), reduced=False),
        Graph("prior_step", "prior_step", step_inputs, step, "logits", (), reduced=False),
        Graph("prior_sampler", "prior_sample", noise, sample, "codes", ("codes",), reduced=False),
    ]
