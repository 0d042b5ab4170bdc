"""Ops that do not leave TensorFlow, and what to write in their place. Each was met in a variational autoencoder."""

from collections.abc import Iterable

REMEDIES = {
    "Erfc": "Use the tanh form of GELU: keras.activations.gelu(x, approximate=True).",
    "Bitcast": "keras.ops.argmin and argmax on floats make these: use tf.argmin(x, axis, output_type=tf.int32).",
    "BitwiseAnd": "keras.ops.argmin and argmax on floats make these: use tf.argmin(x, axis, output_type=tf.int32).",
    "MulNoNan": "Leave tfd.Bernoulli.log_prob out of the exported graph, or write it with softplus.",
    "Log1p": "Write log(1 + exp(x)) as keras.ops.softplus(x).",
    "Expm1": "Write expm1(x) as keras.ops.exp(x) - 1, or keep KL terms out of the exported graph.",
    "BroadcastArgs": "Leave tfd samples out of the exported graph: return the parameters and sample on the host.",
    "Lgamma": "Keep densities with lgamma out of the exported graph: return the parameters.",
    "BesselI0e": "Keep densities with Bessel functions out of the exported graph: return the parameters.",
    "TensorListReserve": (
        "A loop of a recurrent layer over an open batch: give the layer unroll=True (encoder={'name': 'gru', "
        "'unroll': True}), or export to ONNX, OpenVINO or SavedModel, which have loops."
    ),
    "ScaleAndTranslate": "Use keras.ops.image.resize with antialias=False.",
}
_GENERAL = "Write that part of the network with other operations, or leave it out of the exported graph."
_RANDOM = "Make the noise an input of the graph, or return the parameters and sample on the host."


def is_random(op: str) -> bool:
    """Whether an op of TensorFlow or of ONNX draws random numbers."""
    return "Random" in op or "Multinomial" in op or op == "Bernoulli"


def remedy(ops: Iterable[str]) -> str:
    """One sentence or more on what to do about `ops`, without repetition."""
    return " ".join(dict.fromkeys(_RANDOM if is_random(op) else REMEDIES.get(op, _GENERAL) for op in ops))
