"""What must not grow back: circles, imports that run upwards, rooms at the top, and arguments typed `Any`."""

import importlib.util
import re
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "house.py"


@pytest.fixture(scope="module")
def house():
    spec = importlib.util.spec_from_file_location("house", SCRIPT)
    assert spec is not None and spec.loader is not None
    house = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(house)
    return house


@pytest.fixture(scope="module")
def numbers(house):
    return house.measured()


def test_the_layout_lists_the_modules_of_each_room(house):
    text = house.CONTRIBUTING.read_text(encoding="utf-8")
    assert house.layout(text) == text, "python benchmarks/house.py --layout"
    assert not {path.name for path in (house.ROOT / house.PACKAGE).glob("[!_]*.py")} - set(
        re.findall(r"`(\w+\.py)`", text)
    )


def test_no_circle_and_nothing_upwards(numbers):
    assert numbers["circles"] == [] and numbers["upward imports"] == []


def test_fewer_than_twenty_rooms_at_the_top(numbers):
    assert numbers["rooms"] < 20 and numbers["modules at the top"] < 20


def test_any_is_for_what_is_truly_any(numbers):
    assert numbers["share of Any"] <= 0.03
