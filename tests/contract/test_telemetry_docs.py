"""What is documented and what the bus says agree with the table of metrics."""

from pathlib import Path

from unisono.bus import topics
from unisono.lan import paths
from unisono.telemetry import table
from unisono.telemetry.document import markdown

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_is_printed_from_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), (
        "print it again: python -m unisono.telemetry > docs/metrics.md"
    )


def test_the_page_has_a_line_for_each_metric() -> None:
    lines = [line for line in markdown().splitlines() if line.startswith("| `unisono_")]
    assert len(lines) == len(table.METRICS)
    assert {line.replace("\\|", "").count("|") for line in lines} == {7}


def test_owners_and_topics_are_those_of_the_bus() -> None:
    assert [str(owner) for owner in table.Owner] == [str(owner) for owner in topics.Owner]
    assert tuple(topic.name for topic in topics.TOPICS) == table.TOPICS


def test_paths_are_those_of_the_lan() -> None:
    assert (paths.PGM, paths.UDP, paths.UNICAST, paths.TCP) == table.PATHS
