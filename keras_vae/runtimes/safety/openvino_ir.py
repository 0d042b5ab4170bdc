"""A check that OpenVINO's own format has its own operations only, with weights inside of the file beside it."""

import re
from pathlib import Path
from xml.etree import ElementTree

from keras_vae.errors import CorruptFileError


def require_harmless(content: bytes, weights: bytes, path: Path) -> None:
    """Raise CorruptFileError if a graph has operations of an extension, or constants outside of its weights.

    Args:
      content: of the `.xml` file.
      weights: the contents of the `.bin` file.
      path: of the `.xml` file, for the message.
    """
    problem = _problem(content, len(weights))
    if problem:
        raise CorruptFileError(
            f"A graph of OpenVINO in a bundle has OpenVINO's own operations only, and all of its weights. Given: "
            f"{path}, with {problem}. Do not open it."
        )


def _problem(content: bytes, size: int) -> str | None:
    """Return the first part that no file of a bundle has, or None."""
    if b"<!" in content or b"\0" in content:  # entities, which grow, in any encoding
        return "a declaration of entities"
    try:
        net = ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        return f"no XML ({error})"
    if net.tag != "net":
        return f"the element {net.tag!r} in place of 'net'"
    for layer in net.iter("layer"):
        version = layer.get("version", "")
        if not re.fullmatch(r"opset\d+", version):
            return f"the operation {layer.get('type')!r} of {version!r}"
        for data in layer.findall("data") if layer.get("type") == "Const" else ():
            extent = [data.get("offset", "0"), data.get("size", "0")]
            # OpenVINO adds the two in 64 bits, where a sum may come out small.
            if not all(re.fullmatch(r"\d{1,18}", number) for number in extent) or sum(map(int, extent)) > size:
                return f"a constant at {' + '.join(extent)} of {size} bytes"
    return None
