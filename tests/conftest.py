"""What every test shares: the settings TensorFlow reads when it is imported, and the account of what was not run."""

import os

# TensorFlow reads these once, at import, so they come before anything that could import it; subprocesses inherit them.
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_THREADS = str(max(1, _CORES // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
for _name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, _THREADS)

import gc  # noqa: E402
import random  # noqa: E402
from collections import Counter  # noqa: E402

import hypothesis  # noqa: E402
import pytest  # noqa: E402

# The first call of a compiled function takes seconds, so no deadline; the same examples every time, so no database.
hypothesis.settings.register_profile("fast", deadline=None, derandomize=True, database=None, max_examples=30)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=500)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

# Files of one or two tests that take a minute: they come first, so that no process waits for them at the end.
_LONG = ("test_torture.py", "test_workers.py", "test_quickstart.py", "test_readme.py", "test_missing.py")
_LEFT_OUT = pytest.StashKey[dict[str, bool]]()  # {test id: is it slow?} of every deselected test


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", type=int, metavar="SEED", help="files, and the tests in each, in a random order")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of one file together, whose fixtures are made once; the same order in every worker of pytest-xdist."""
    items.sort(key=lambda item: item.path.name not in _LONG)
    seed = config.getoption("--shuffle")
    if seed is not None:
        noise = random.Random(seed)
        files = sorted({item.path for item in items})
        place = dict(zip(files, noise.sample(range(len(files)), len(files)), strict=True))
        noise.shuffle(items)
        items.sort(key=lambda item: place[item.path])


def pytest_collection_finish() -> None:
    """Graphs are millions of objects: what the imports made is not looked at again, and what tests make less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LEFT_OUT] = {}


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        item.config.stash[_LEFT_OUT][item.nodeid] = item.get_closest_marker("slow") is not None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under pytest-xdist only the workers collect: each tells the controller what it deselected."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash[_LEFT_OUT]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node) -> None:
    node.config.stash[_LEFT_OUT].update(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left_out = config.stash[_LEFT_OUT]
    slow = Counter(name.split("[")[0] for name, is_slow in left_out.items() if is_slow)
    other = sum(not is_slow for is_slow in left_out.values())
    skipped = len(terminalreporter.getreports("skipped"))
    terminalreporter.section("left out of this run")
    write = terminalreporter.write_line
    write(f"{slow.total()} slow tests, which `make test-all` runs{':' if slow else ''}")
    for name, count in sorted(slow.items()):
        write(f"  {name}" + (f" ({count} cases)" if count > 1 else ""))
    if other:
        write(f"{other} further tests deselected by -m or -k")
    write(f"{skipped} tests skipped{', for the reasons below' if skipped else ''}")
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:  # of record_property, such as the times of lessons
            write(f"{report.nodeid}: {name} {value}")
