"""Things chosen by name: what is known, what is near, what is missing."""

import pytest

from keras_vae.errors import UserError
from keras_vae.registry import build, check_arguments, choose, nearest


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
