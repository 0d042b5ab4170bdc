from tests.run_fixtures import own_run as own_run
from tests.run_fixtures import run as run
