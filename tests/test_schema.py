"""What is read from a file, held to a TypedDict: the first fault is named with its place."""

from typing import Any, Literal, NotRequired, TypedDict

import pytest

from keras_vae.schema import fault


class Inner(TypedDict):
    kind: Literal["a", "b"]
    size: int | None


class Outer(TypedDict):
    name: str
    parts: dict[str, list[Inner]]
    rate: NotRequired[float]
    more: NotRequired[Any]


WHOLE = {"name": "x", "parts": {"p": [{"kind": "a", "size": None}, {"kind": "b", "size": 3}]}, "rate": 1, "other": 0}


def changed(**changes):
    return {**WHOLE, **changes}


def test_what_fits_has_no_fault():
    assert fault(WHOLE, Outer) == "" and fault(changed(more=[object]), Outer) == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "it is not a mapping, but []"),
        ({}, "it has no 'name'"),
        (changed(name=3), "it.name is not a string, but 3"),
        (changed(parts={"p": {}}), "it.parts.p is not a list, but {}"),
        (changed(parts={"p": [{"kind": "c", "size": 1}]}), "it.parts.p[0].kind is not one of a, b, but 'c'"),
        (changed(parts={"p": [{"kind": ["a"], "size": 1}]}), "it.parts.p[0].kind is not one of a, b, but ['a']"),
        (changed(parts={"p": [{"kind": "a", "size": True}]}), "it.parts.p[0].size is not a whole number, but True"),
        (changed(rate=float("nan")), "it.rate is not a finite number, but nan"),
        (changed(rate=10**400), "it.rate is not a finite number, but a very large number"),
        (changed(rate="1"), "it.rate is not a finite number, but '1'"),
        (changed(name=["A" * 100]), f"it.name is not a string, but ['{'A' * 58}"),
    ],
)
def test_a_fault_is_named_with_its_place(value, said):
    assert fault(value, Outer) == said
