"""Ops that cannot be exported from TensorFlow, and what to write in their place. All of them occur in VAEs."""

import re
from collections.abc import Iterable

# An op in LiteRT's words, "'tf.BitwiseAnd' op is neither", "FlexErfc", "Node number 6 (SUB) failed", and in ONNX's,
# "op_type:IsInf", "No Op registered for Erfc".
_OPS = re.compile(
    r"\btf\.([A-Z]\w+)|\bFlex([A-Z]\w+)|\bNode number \d+ \((\w+)\)|\bop_type: ?\"?([A-Z]\w+)"
    r"|\bNo Op registered for (\w+)"
)

REMEDIES = {
    "Erfc": "Use the tanh form of GELU: keras.activations.gelu(x, approximate=True).",
    "Bitcast": "keras.ops.argmin and argmax on floats make these: use tf.argmin(x, axis, output_type=tf.int32).",
    "BitwiseAnd": "keras.ops.argmin and argmax on floats make these: use tf.argmin(x, axis, output_type=tf.int32).",
    "MulNoNan": (
        "The log_prob of TFP's Bernoulli, Poisson and other distributions with tf.math.xlogy makes this: leave it out "
        "of the exported graph, or write it with keras.ops, as a Bernoulli's with softplus."
    ),
    "Log1p": "Write log(1 + exp(x)) as keras.ops.softplus(x).",
    "Expm1": "Write expm1(x) as keras.ops.exp(x) - 1, or keep KL terms out of the exported graph.",
    "BroadcastArgs": "Leave tfd samples out of the exported graph: return the parameters and sample on the host.",
    "Lgamma": "Keep densities with lgamma out of the exported graph: return the parameters.",
    "BesselI0e": "Keep densities with Bessel functions out of the exported graph: return the parameters.",
    "TensorListReserve": (
        "A loop of a recurrent layer over an open batch: give the layer unroll=True (encoder={'name': 'gru', "
        "'unroll': True}), or export to ONNX, OpenVINO or SavedModel, which have loops."
    ),
    "IsInf": "keras.ops.logsumexp makes this, which has no float16: subtract the largest, then exp, sum and divide.",
    "ScaleAndTranslate": "Use keras.ops.image.resize with antialias=False.",
}
_GENERAL = "Write that part of the network with other operations, or leave it out of the exported graph."
_DENSITIES = {"Lgamma", "MulNoNan", "BesselI0e"}  # of which the ELBO's graph is made where nobody wrote them
_ELBO = "If the graph is that of the ELBO, leave it out: export without --elbo, or with elbo=False."
_RANDOM = "Make the noise an input of the graph, or return the parameters and sample on the host."


def is_random(op: str) -> bool:
    """Return whether an op of TensorFlow or of ONNX draws random numbers."""
    return "Random" in op or "Multinomial" in op or op == "Bernoulli"


def remedy(ops: Iterable[str]) -> str:
    """Return the remedies for `ops` as sentences, without repetition."""
    ops = list(ops)
    sentences = [_RANDOM if is_random(op) else REMEDIES.get(op, _GENERAL) for op in ops]
    return " ".join(dict.fromkeys([*sentences, *([_ELBO] if _DENSITIES & {*ops} else [])]))


def ops_in(message: str) -> list[str]:
    """Return the names of the TensorFlow or ONNX ops in an error message, without repetition."""
    return list(dict.fromkeys(next(name for name in match if name) for match in _OPS.findall(message)))


def in_one_line(error: BaseException) -> str:
    """Return a library's error message in one line, at most 300 characters, without a final full stop."""
    return (" ".join(str(error).split())[:300] or type(error).__name__).rstrip(".")
