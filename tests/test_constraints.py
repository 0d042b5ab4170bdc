"""constraints-hashed.txt has the versions of constraints.txt, each with hashes, and no address of an index."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def versions(text):
    found = re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)
    return {re.sub(r"[_.]", "-", name.lower()): version for name, version in found}


def test_the_same_versions_with_hashes_and_without_addresses():
    plain, hashed = ((ROOT / name).read_text() for name in ("constraints.txt", "constraints-hashed.txt"))
    assert versions(hashed) == versions(plain) and len(versions(plain)) > 100, "run: make lock"
    for entry in re.split(r"\n(?=\w)", hashed.split("\n", 2)[2].strip()):
        assert re.fullmatch(r"[\w.-]+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+", entry), entry
    for text in (plain, hashed):
        assert "://" not in text and "index" not in text


def test_what_nobody_looked_at_does_not_pass_the_audit():
    recipe = re.search(r"^audit:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)[1]
    assert {"--strict", "--require-hashes", "constraints-hashed.txt"} <= set(recipe.split())
