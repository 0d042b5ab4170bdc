"""Messages stay readable whatever was given."""

import pickle

import pytest

from keras_vae.errors import DivergedError, UserError
from keras_vae.zoo import optimizers, recipes


def test_a_long_name_is_cut_in_its_middle():
    message = str(UserError(f"Unknown model {'a' * 5000 + 'z'!r}. Known: vae_mnist."))
    assert (
        len(message) < 400 and message.startswith("Unknown model 'aaa") and message.endswith("az'. Known: vae_mnist.")
    )
    assert " [...] " in message


def test_a_long_message_keeps_its_rule_and_its_remedy():
    message = str(UserError(f"It must be a number. Given: {list(range(9999))}. Give one."))
    assert (
        len(message) < 4100
        and message.startswith("It must be a number. Given: [0, 1")
        and message.endswith("Give one.")
    )


@pytest.mark.parametrize("kind", [UserError, DivergedError])
def test_any_other_message_is_whole(kind):
    for message in ("", f"The folder {'/' + 'x' * 400} is not empty.", "word " * 700):
        error = kind(message)
        assert str(error) == message and str(pickle.loads(pickle.dumps(error))) == message


def test_a_recipe_of_windows_begins_with_a_mark(tmp_path):
    path = tmp_path / "recipe.toml"
    text = 'summary = "s"\nmodel = {class = "VAE"}\ndata = {name = "mnist"}\ntraining = {epochs = 1}\n'
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    recipe = recipes.read(path)
    assert recipe.text == text
    path.write_text(text, encoding="utf-16")
    with pytest.raises(UserError, match="Cannot read the recipe"):
        recipes.read(path)


def test_a_message_of_keras_is_whole():
    with pytest.raises(UserError, match=r"do not fit: Only one of .*clipnorm=1, clipvalue=2.*\. Given: {"):
        optimizers.from_spec({"name": "adam", "clipnorm": 1, "clipvalue": 2})
