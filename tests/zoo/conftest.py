import pytest

from tests.run_fixtures import own_run as own_run
from tests.run_fixtures import own_zoo as own_zoo
from tests.run_fixtures import run as run


@pytest.fixture(scope="session")
def call():
    """Run a command in this process, which must end with the status `code`."""
    from keras_vae.cli import main

    def run(*words, code=0):
        with pytest.raises(SystemExit) as left:
            main([*map(str, words)])
        assert left.value.code == code, words

    return run
