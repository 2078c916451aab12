"""Every scenario row, played briefly in the lab; several at a time, each in a process of its own.

Exact figures need a quiet machine and are the benchmark's; here errors may be several times
their limit; more lost, later back, or beyond its bound, nothing may be.
"""

import asyncio
import json
import sys
from collections.abc import Mapping

import pytest

from tests.netlab.judge import Figures, faults
from tests.netlab.scenarios import SCENARIOS, Event, Scenario

pytestmark = pytest.mark.root

SETTLE_S, JUDGE_S, AWAY_S = 4.0, 4.0, 2.0
AT_ONCE = 6
# A few seconds of probing on a busy machine, instead of half a minute on a quiet one.
SLACK = 8.0


@pytest.fixture(scope="module")
def played() -> Mapping[str, Figures]:
    """Figures of all rows."""
    return asyncio.run(_play_all())


async def _play_all() -> Mapping[str, Figures]:
    turns = asyncio.Semaphore(AT_ONCE)

    async def play(row: Scenario) -> tuple[str, Figures]:
        async with turns:
            return row.name, await _play(row)

    return dict(await asyncio.gather(*map(play, SCENARIOS)))


async def _play(row: Scenario) -> Figures:
    # A partition is as long as the row says: all that grows with it is to be seen.
    away_s = row.away_s if row.event is Event.PARTITION else AWAY_S
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.netlab.run", row.name),
        *("--settle", str(SETTLE_S), "--judge", str(JUDGE_S), "--away", str(away_s)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaint = await process.communicate()
    assert process.returncode == 0, f"{row.name}: {complaint.decode()}"
    plain = json.loads(said)
    return Figures(**plain | {"paths": tuple(plain["paths"])})


@pytest.mark.parametrize("row", SCENARIOS, ids=lambda row: row.name)
def test_the_row_holds(row: Scenario, played: Mapping[str, Figures]) -> None:
    assert faults(played[row.name], row.limits, row.path, slack=SLACK) == []
