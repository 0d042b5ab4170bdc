"""Things chosen by name: what is known, what is near, what is missing."""

import sys

import pytest

from keras_vae import registry
from keras_vae.errors import UserError
from keras_vae.registry import build, check_arguments, choose, nearest
from tests import plugins


class Base:
    def __init__(self, size: int, colour: str = "red", **kwargs):
        self.size, self.colour, self.kwargs = size, colour, kwargs


class Derived(Base):
    def __init__(self, depth: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.depth = depth


KNOWN = {"base": Base, "derived": Derived}


def test_nearest_names_come_first_and_far_ones_not_at_all():
    assert nearest("sigmod", ["linear", "sigmoid"]) == " Did you mean 'sigmoid'?"
    assert nearest("conv", ["conv2", "conv1"]).count("'conv") == 2
    assert nearest("zzz", ["linear", "sigmoid"]) == ""
    assert nearest("", []) == ""


def test_choose():
    assert choose("thing", "base", KNOWN) is Base
    with pytest.raises(UserError, match=r"^Unknown thing 'bace'\. Did you mean 'base'\? Known: base, derived\.$"):
        choose("thing", "bace", KNOWN)
    with pytest.raises(UserError, match=r"^Unknown thing 'xyz'\. Known: base, derived\.$"):
        choose("thing", "xyz", KNOWN)


def test_arguments_of_parents_count_as_own():
    check_arguments("thing", Derived, {"depth": 1, "size": 3, "colour": "blue"})
    with pytest.raises(UserError, match=r"thing has no argument 'colur'\. Did you mean 'colour'\? Its arguments: dep"):
        check_arguments("thing", Derived, {"size": 1, "colur": "blue"})
    with pytest.raises(UserError, match=r"thing needs the argument size\."):
        check_arguments("thing", Base, {})
    check_arguments("thing", Derived, {"depth": 1})  # a class may pass on itself what its parents need


def test_several_missing_arguments_are_all_named():
    def function(first, second, *, third=3):
        return first, second, third

    with pytest.raises(UserError, match=r"f needs the arguments first, second\."):
        check_arguments("f", function, {"third": 1})
    with pytest.raises(UserError, match="f has no argument 'self'"):
        check_arguments("f", function, {"first": 1, "second": 2, "self": 3})


def test_build_from_a_name_or_a_mapping():
    made = build("thing", {"name": "derived", "depth": 5}, KNOWN, size=3)
    assert (made.depth, made.size, made.colour) == (5, 3, "red")
    assert build("thing", "base", KNOWN, size=7).size == 7
    spec = {"name": "base", "size": 2}
    build("thing", spec, KNOWN)
    assert spec == {"name": "base", "size": 2}, "the caller's mapping is left as it was"


def test_the_users_argument_wins_over_the_callers():
    assert build("thing", {"name": "base", "size": 9}, KNOWN, colour="blue").colour == "blue"


@pytest.mark.parametrize("spec", [3, None, ["base"], {}, {"size": 3}, {"name": 3}])
def test_what_names_nothing_is_refused(spec):
    with pytest.raises(UserError, match=r"The thing must be a name, or a mapping with 'name' and arguments\. Given: "):
        build("thing", spec, KNOWN)


def test_an_argument_given_twice():
    """What the library adds cannot also be in the mapping."""
    with pytest.raises(UserError, match=r"The thing 'base' is given 'size' by the model\. Given: .*Leave it out"):
        build("thing", {"name": "base", "size": 9}, KNOWN, size=3)


# --- What others add ---


@pytest.fixture
def entries(monkeypatch):
    """A kind of its own, so that no test sees what another has added."""
    monkeypatch.setitem(registry._added, "models", {})
    monkeypatch.setattr(registry, "_open", {})
    return lambda: registry.Entries("models", KNOWN)


def test_a_registered_thing_is_known_by_its_name(entries):
    made = entries()
    assert registry.register("models", "mine", str) is str
    assert list(made) == ["base", "derived", "mine"] and len(made) == 3 and made["mine"] is str
    assert registry.register("models", "mine", str) is str, "the same again, as a notebook runs a cell"
    assert made.name_of(str) == "mine" and made.name_of(Base) == "base" and made.name_of(int) is None
    with pytest.raises(UserError, match=r"Unknown model 'mime'\. Did you mean 'mine'"):
        choose("model", "mime", made)


def test_what_cannot_be_registered(entries):
    registry.register("models", "early", int)
    made = entries()
    assert made["early"] is int, "registered before the first look"
    for kind, name, message in (
        ("model", "a", r"Unknown kind to register 'model'\. Did you mean 'models'"),
        ("models", "a b", r"letters, digits and _\. Given: 'a b'"),
        ("models", "base", r"Given: 'base', which is taken"),
        ("models", "early", r"Given: 'early', which is taken"),
    ):
        with pytest.raises(UserError, match=message):
            registry.register(kind, name, str)
    registry._added["models"]["base"] = str
    with pytest.raises(UserError, match=r"Given: 'base', which is taken"):
        entries()


def test_entry_points_of_installed_packages(entries, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(plugins.install(tmp_path / "site"))
    made = entries()
    assert {"TiltedVAE", "BrokenVAE"} <= set(made) and "stranger" not in sys.modules, "names are listed without imports"
    with pytest.raises(UserError, match=r"'BrokenVAE' of the package stranger cannot be imported: No module named"):
        made["BrokenVAE"]
    assert made["TiltedVAE"].__module__ == "stranger" and made.name_of(made["TiltedVAE"]) == "TiltedVAE"
    monkeypatch.delitem(sys.modules, "stranger")
    with pytest.raises(UserError, match=r"'stranger:None_' cannot be imported: module 'stranger' has no attribute"):
        registry.imported("model class", "stranger:None_")
