"""What a device tells over time: events and summaries, the outbox that they wait in."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cloud_bridge.happenings import AGAIN_NS, BURST_NS, SPAN_NS, Happenings, Minutes
from tests.support.bridge_link import drift_of
from unisono.bus.topics import DriftSample
from unisono.core.event_kinds import DEVICE_EVENTS
from unisono.core.mode import Mode
from unisono.core.outbox import Numbered, Outbox, Told
from unisono.core.session import Role
from unisono.core.units import NS_PER_S, OwnNs

NO_SESSION = drift_of("", 0, mode=Mode.STOPPED, role=Role.IDLE)


def events_of(*samples: DriftSample, step_ns: int = 100_000_000) -> list[tuple[str, str]]:
    """What is told of these samples, one after another."""
    happenings = Happenings()
    return [
        (told.event, told.detail)
        for number, sample in enumerate(samples)
        for told in happenings.hear(sample, OwnNs(number * step_ns), 1_780_000_000_000)
    ]


LAN, HOLDOVER, CLOUD = (drift_of(mode=mode) for mode in (Mode.LAN, Mode.HOLDOVER, Mode.CLOUD))


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        ((LAN, LAN, LAN), []),
        ((CLOUD, LAN), [("lan", "cloud to lan")]),
        ((LAN, HOLDOVER, LAN), [("holdover", "lan to holdover"), ("lan", "holdover to lan")]),
        ((LAN, CLOUD), [("fallback", "lan to cloud")]),
        ((HOLDOVER, CLOUD), [("fallback", "holdover to cloud")]),
        # The end of a session, and the start of the next one, are no fallback.
        ((LAN, NO_SESSION, CLOUD), [("role", "follower")]),
        ((LAN, replace(CLOUD, session_id="next")), []),
        # Nor is another term of the same one.
        ((LAN, replace(LAN, term=3, role=Role.MASTER)), [("role", "master")]),
    ],
)  # fmt: skip
def test_events_of_modes_and_roles(
    samples: tuple[DriftSample, ...], told: list[tuple[str, str]]
) -> None:
    assert events_of(*samples)[1:] == told  # the first is the role it begins with
    assert events_of(samples[0]) == [("role", "follower")]


def test_a_device_without_a_session_has_nothing_to_tell() -> None:
    assert events_of(NO_SESSION, NO_SESSION) == []


def seeking(*counts: int, step_ns: int) -> list[str]:
    samples = [drift_of(seeks=count) for count in counts]
    return [event for event, _ in events_of(*samples, step_ns=step_ns)][1:]


def test_seeks_are_told_of_when_they_come_in_a_burst() -> None:
    assert seeking(0, 1, 2, step_ns=NS_PER_S) == []
    assert seeking(0, 1, 2, 3, step_ns=NS_PER_S) == ["seek"]
    assert seeking(0, 3, step_ns=NS_PER_S) == ["seek"]
    assert seeking(*range(40), step_ns=NS_PER_S) == ["seek"]  # and not at every further one
    assert seeking(*range(80), step_ns=NS_PER_S) == ["seek", "seek"]
    assert seeking(*range(80), step_ns=BURST_NS) == []
    # The corrector began anew: its counter did, too.
    assert seeking(50, 0, 1, 2, step_ns=NS_PER_S) == []


def test_a_fault_is_told_once_and_again_when_it_goes_on_coming() -> None:
    gone, well = drift_of(fault="film.mp4 is missing"), drift_of()
    assert events_of(gone, gone, gone)[1:] == [("fault", "film.mp4 is missing")]
    assert events_of(well, gone, well, gone)[1:] == [("fault", "film.mp4 is missing")]
    other = drift_of(fault="x" * 1000)
    assert [text for _, text in events_of(gone, other)][1:] == ["film.mp4 is missing", "x" * 256]
    assert len(events_of(gone, well, gone, step_ns=AGAIN_NS)) == 3


def test_every_event_has_its_row() -> None:
    samples = (LAN, HOLDOVER, CLOUD, drift_of(seeks=5, fault="gone"), NO_SESSION)
    assert {event for event, _ in events_of(*samples)} == {*DEVICE_EVENTS} - {"telemetry_lost"}


def test_each_minute_of_a_session_is_summed_up() -> None:
    minutes, step_ns = Minutes(), 100_000_000
    told = [
        minutes.hear(drift_of(drift_ns=number * 1_000_000), OwnNs(number * step_ns), number * 100)
        for number in range(1201)
    ]
    first, second = (item for item in told if item is not None)
    assert [(item.at_ms, item.span_ms) for item in (first, second)] == [
        (60_000, 60_000),
        (120_000, 60_000),
    ]
    assert first.drift_ms is not None
    assert (first.drift_ms.count, first.drift_ms.mean) == (600, 299.5)
    assert (first.session_id, first.term, first.mode, first.event) == ("lobby-1", 2, "lan", "")


def test_a_new_term_or_session_ends_a_summary_early_and_none_has_nothing_to_sum_up() -> None:
    minutes = Minutes()
    assert minutes.hear(NO_SESSION, OwnNs(0), 0) is None
    assert minutes.hear(drift_of(drift_ns=1_000_000), OwnNs(SPAN_NS), 0) is None
    ended = minutes.hear(drift_of(term=3, drift_ns=9_000_000), OwnNs(SPAN_NS + NS_PER_S), 1)
    assert ended is not None
    assert (ended.term, ended.span_ms) == (2, 1000)
    assert ended.drift_ms is not None
    assert (ended.drift_ms.count, ended.drift_ms.mean) == (1, 1.0)
    ended = minutes.hear(NO_SESSION, OwnNs(SPAN_NS + 3 * NS_PER_S), 2)
    assert ended is not None
    assert (ended.term, ended.span_ms) == (3, 2000)
    assert minutes.hear(NO_SESSION, OwnNs(9 * SPAN_NS), 3) is None


def test_a_minute_without_a_reading_is_told_as_such() -> None:
    minutes = Minutes()
    minutes.hear(drift_of(), OwnNs(0), 0)
    told = minutes.hear(drift_of(), OwnNs(SPAN_NS), 0)
    assert told is not None
    assert told.drift_ms is not None
    assert (told.drift_ms.count, told.drift_ms.mean) == (0, None)


steps = st.lists(
    st.one_of(
        st.just("put"),
        st.tuples(st.just("delivered"), st.integers(-3, 3)),
        st.tuples(st.just("give_up"), st.integers(-3, 3)),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 8))
def test_an_outbox_keeps_order_loses_only_the_oldest_and_counts_them(
    steps: list[str | tuple[str, int]], keep: int
) -> None:
    outbox = Outbox("q", keep=keep)
    put = taken = 0
    for step in steps:
        before = len(outbox)
        if isinstance(step, str):
            item = outbox.put(Told(at_ms=put, event="lan"))
            put += 1
            assert item == Numbered(put, Told(at_ms=put - 1, event="lan"))
            continue
        batch = outbox.batch(3)
        seq = (batch[0].seq if batch else 0) + step[1]
        if step[0] == "delivered":
            outbox.delivered(seq)
            taken += before - len(outbox)
        else:
            outbox.give_up(seq)
        assert all(item.seq > seq for item in outbox.batch())
        assert len(outbox) <= keep
        waiting = outbox.batch(keep)
        assert all(b.seq - a.seq == 1 for a, b in pairwise(waiting))
        assert put == taken + outbox.lost + len(outbox)


def test_an_outbox_can_be_taken_up_where_it_was_left() -> None:
    left = Outbox("q")
    for number in range(3):
        left.put(Told(at_ms=number))
    again = Outbox("q", items=left.batch())
    assert again.put(Told(at_ms=9)).seq == 4
    assert [item.seq for item in again.batch()] == [1, 2, 3, 4]
    assert Outbox("q", seq=17).put(Told(at_ms=9)).seq == 18
