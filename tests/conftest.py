"""For all tests: where CI=true a skipped test is a failed gate, and property tests try the same examples each time."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Optional

import hypothesis
import pytest

# A rare example that nobody has met is for whoever runs the tests at a desk, not for a gate to stumble over. Without a deadline, which is
# a time by the clock: on a busy machine anything may take long.
hypothesis.settings.register_profile("desk", deadline=None)
hypothesis.settings.register_profile("gate", derandomize=True, deadline=None)
hypothesis.settings.load_profile("gate" if os.environ.get("CI") == "true" else "desk")

# Who runs tests in the background (`make test &` in a script) has them deaf to SIGINT, and every program that they start as well.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def powerless() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """``with powerless():`` whatever it is that root could read, this test cannot. Whoever is not root is that already."""
    @contextlib.contextmanager
    def dropped() -> Iterator[None]:
        before = os.geteuid()
        if before == 0:
            os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(before)

    return dropped


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> Optional[bool]:
    """A module of which no test is wanted is not even read: that alone takes as long as many tests."""
    if "not once" not in config.getoption("markexpr") or collection_path.suffix != ".py":
        return None
    return "\npytestmark = pytest.mark.once\n" in collection_path.read_text("utf-8") or None


def pytest_collection_finish() -> None:
    """Ten thousand tests are no garbage: tests that collect it, to see which descriptors are left open, need not look at them."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter is not None and reporter.stats.get("skipped") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("CI") == "true" and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("CI: a skipped test is a failed gate", red=True)
