"""One site for all browser tests: it takes some seconds to start."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.live_site import LiveSite, running_site


@pytest.fixture(scope="package")
def shared_site() -> Iterator[LiveSite]:
    """A control plane with three devices."""
    path = Path(tempfile.mkdtemp(prefix="uni-", dir="/tmp"))
    try:
        with running_site(path) as site:
            yield site
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def site(shared_site: LiveSite) -> Iterator[LiveSite]:
    """The site, at which nothing plays before and after; killed devices come back."""
    yield shared_site
    shared_site.mend()
