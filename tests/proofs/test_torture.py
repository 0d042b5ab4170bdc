"""A minute of what `make proof-torture` does in half an hour: the same cases always, and others in each run."""

import pytest

from tests import toy_runs
from tests.proofs.torture import report


def test_the_bound_is_that_of_clopper_and_pearson():
    """3 / n where nothing broke, the rule of three; and for one of ten the tabulated value."""
    assert abs(report.bound(0, 1000) - 3 / 1000) < 1e-5
    assert abs(report.bound(1, 10) - 0.3942) < 1e-4
    assert report.bound(0, 0) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [("--fresh", "0"), ()], ids=["fixed", "fresh"])
def test_a_minute_of_torture(seed):
    done = toy_runs.python(["-m", "tests.proofs.torture", "--quick", *seed], report.ROOT, timeout=1200)
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("  ")]
    assert done.returncode == 0, "\n".join(lines[-60:]) + done.stderr[-2000:]
    assert lines[-1].startswith("0 of ")
