"""Fixtures that every test may use, and the rules of the suite.

Tests marked ``root`` are left out (deselected, with one line that says so) where namespaces
cannot be made: not root, or the root of a container; those marked ``python312`` where there is no
Python 3.12 or newer. With ``UNISONO_NO_SKIPS=1``, as in CI, a test skipped, expected to fail or
left out fails the run.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer, start_redis
from tests.support.rights import can_make_namespaces
from tests.support.vercel import newer_python

NO_SKIPS = os.environ.get("UNISONO_NO_SKIPS", "") not in ("", "0")
_left_out: list[pytest.Item] = []
_without_python: list[pytest.Item] = []  # those of them that need a newer Python


@pytest.hookimpl(trylast=True)  # after -k and -m: what nobody asked for is not left out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that need what this machine or user has not."""
    if not can_make_namespaces():
        _left_out.extend(item for item in items if item.get_closest_marker("root"))
    needing = [item for item in items if item.get_closest_marker("python312")]
    if needing and newer_python() is None:
        _without_python.extend(needing)
    _left_out.extend(_without_python)
    if _left_out:
        config.hook.pytest_deselected(items=_left_out)
        items[:] = [item for item in items if item not in _left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for the tests left out, and the verdict of the no-skip rule."""
    count = len(_without_python)
    if len(_left_out) > count:
        left = len(_left_out) - count
        terminalreporter.write_line(f"{left} tests that need root were left out")
    if count:
        terminalreporter.write_line(f"{count} tests that need Python 3.12 or newer were left out")
    broken = _skipped(terminalreporter)
    if NO_SKIPS and broken:
        terminalreporter.write_line(f"no skips are allowed here, but: {', '.join(broken)}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a skip into a failure of the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if NO_SKIPS and reporter is not None and _skipped(reporter) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _skipped(reporter: pytest.TerminalReporter) -> list[str]:
    """What was not run in earnest, by name."""
    reports = [
        r for kind in ("skipped", "xfailed", "xpassed") for r in reporter.stats.get(kind, [])
    ]
    return [report.nodeid for report in reports] + [item.nodeid for item in _left_out]


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """An empty directory whose path is short enough for the unix sockets inside it."""
    path = Path(tempfile.mkdtemp(prefix="uni-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One Redis-compatible server on a unix socket for the whole run."""
    with start_redis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty database."""
    redis_server.flush()
    return redis_server.url
