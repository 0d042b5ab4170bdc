"""Graphs of a decoder that writes token by token: one step of it, so that a search can run outside of Python."""

from typing import Any

from keras import ops

from keras_vae.export.graphs import Graph, Input


def step_graphs(model: Any) -> list[Graph]:
    """`decoder_start`: z -> the first `state`. `decoder_step`: token, state, z -> the next `logits` and `next_state`.

    The token before the first is 0. Outputs are not named as inputs are: tf2onnx cannot tell them apart.

    Args:
      model: whose decoder has `initial_state` and `step`, as `networks.GRUDecoder`.
    """
    codes = {name: Input(**given) for name, given in model.code_spec().items()}
    units = model.decoder.initial_state(ops.zeros((1, model.latent_dim), model.float_dtype)).shape[-1]

    def start(z: Any) -> dict[str, Any]:
        return {"state": ops.cast(model.decoder.initial_state(z), model.float_dtype)}

    def step(token: Any, state: Any, z: Any) -> dict[str, Any]:
        logits, state = model.decoder.step(token, state, z)
        return {"logits": ops.cast(logits, model.float_dtype), "next_state": ops.cast(state, model.float_dtype)}

    given = {"token": Input((), "int32", "index", model.vocabulary_size), "state": Input((units,), "float32", "code")}
    return [
        Graph("decoder_start", "start", codes, start, "state", ("state",)),
        Graph("decoder_step", "step", given | codes, step, "logits", ("next_state",)),
    ]
