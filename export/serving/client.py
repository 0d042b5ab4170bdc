"""Ask a server for what golden.json holds, and compare: exits with 1 if an output differs from Keras's.

python client.py http://localhost:8501 NAME served/requests/NAME

Speaks TensorFlow Serving's REST interface, POST /v1/models/NAME:predict. Python's own library is enough.
"""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

TOLERANCE = 1e-5  # and as much of the largest value beside it


def predict(server: str, name: str, body: bytes) -> dict[str, Any]:
    """Every output by name, nested lists; `body` is JSON with signature_name and inputs."""
    request = urllib.request.Request(f"{server.rstrip('/')}/v1/models/{name}:predict", body)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["outputs"]
    except urllib.error.HTTPError as error:
        raise SystemExit(f"The server refused {name}: HTTP {error.code}, {error.read(500).decode()}") from error
    except OSError as error:
        raise SystemExit(f"No server answered at {server}: {error}.") from error


def flat(values: Any) -> list[float]:
    """The numbers in nested lists."""
    return [number for value in values for number in flat(value)] if isinstance(values, list) else [float(values)]


def main(server: str, name: str, requests: Path) -> int:
    """Send each request of the folder; the number of outputs that differ."""
    failed = 0
    paths = sorted(requests.glob("*.expected.json"))
    if not paths:
        raise SystemExit(f"{requests} has no requests. layout.py writes them, to requests/NAME.")
    for path in paths:
        signature = path.name.split(".")[0]
        expected = json.loads(path.read_text(encoding="utf-8"))["outputs"]
        given = predict(server, name, (requests / f"{signature}.json").read_bytes())
        # A signature of one output is answered without its name.
        given = given if isinstance(given, dict) else {next(iter(expected)): given}
        for output, values in expected.items():
            ours, theirs = flat(values), flat(given[output])
            error = max((abs(a - b) for a, b in zip(ours, theirs, strict=True)), default=0.0)
            agrees = error <= TOLERANCE + TOLERANCE * max(map(abs, ours), default=0.0)
            print(f"{signature}.{output}: {'agrees' if agrees else 'DIFFERS'}, by {error:.1e} at most")
            failed += not agrees
    return failed


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    sys.exit(1 if main(sys.argv[1], sys.argv[2], Path(sys.argv[3])) else 0)
