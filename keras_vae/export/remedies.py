"""Errors of converters and runtimes: the ops that they cannot take, all of which occur in VAEs, and what to write."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from keras_vae.errors import ExportError, RefusedError, UserError, reason_of

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


@contextmanager
def converting(what: str) -> Iterator[None]:
    """Turn whatever a converter raises into an ExportError about `what`, which names the ops and a remedy.

    Errors of the file system pass, and so do errors that have a remedy already.
    """
    try:
        yield
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:
        ops = ops_in(str(error))
        reason = f"it has no counterpart of {', '.join(ops)}" if ops else reason_of(error)
        raise ExportError(f"{what} failed: {reason}. {remedy(ops or [''])}") from error


@contextmanager
def refused(runtime: str, format_name: str, consequence: str) -> Iterator[None]:
    """Turn whatever a runtime raises into an ExportError that names the ops and a remedy; a UserError passes.

    Args:
      runtime: its name.
      format_name: of the files that it opens.
      consequence: the rest of the sentence, such as ", so they were removed".
    """
    try:
        yield
    except Exception as raised:
        if isinstance(raised, UserError) and not isinstance(raised, RefusedError):
            raise
        error = (raised.__cause__ if isinstance(raised, RefusedError) else None) or raised
        ops = ops_in(str(error))
        named = f" Operations: {', '.join(ops)}." if ops else ""
        reason = (" ".join(str(error).split())[:300] or type(error).__name__).rstrip(".")
        raise ExportError(
            f"{runtime} refuses the {format_name} files{consequence}: {reason}.{named} {remedy(ops or [''])}"
        ) from error
