"""A wall clock that was put back: what a record says of the future is taken for now, once.

Else a lease, a wait or a grace would last as long as the clock went back. Instances whose clocks
differ a little are no reason.
"""

from dataclasses import replace

from unisono.core.election import MAX_AHEAD_MS
from unisono.core.leases import MAX_RETURN_MS
from unisono.core.site_document import SessionRecord


def in_time(record: SessionRecord, now_ms: int) -> SessionRecord:
    """The record with no time of the future in it; the very same one if it has none.

    Whoever decides on it writes that down.

    Two may lie in the future by right, by as long as devices need to come back at most: from when
    a lease counts, and from when devices have had the time to take a session up.
    """

    def clamped_ms(at_ms: int, ahead_ms: int = 0) -> int:
        return now_ms if at_ms > now_ms + ahead_ms + MAX_AHEAD_MS else at_ms

    stopping_ms = record.stopping_ms
    renewed = replace(
        record,
        lease_from_ms=clamped_ms(record.lease_from_ms, MAX_RETURN_MS),
        waits_from_ms=clamped_ms(record.waits_from_ms, MAX_RETURN_MS),
        looked_ms=clamped_ms(record.looked_ms),
        term_from_ms=clamped_ms(record.term_from_ms),
        silent_ms=clamped_ms(record.silent_ms),
        heard_ms=clamped_ms(record.heard_ms),
        moved_ms=tuple(clamped_ms(at_ms) for at_ms in record.moved_ms),
        voted_out_ms={name: clamped_ms(ms) for name, ms in record.voted_out_ms.items()},
        changes=tuple(replace(c, at_ms=clamped_ms(c.at_ms)) for c in record.changes),
        shared_ms={name: clamped_ms(ms) for name, ms in record.shared_ms.items()},
        stopping_ms=None if stopping_ms is None else clamped_ms(stopping_ms),
    )
    return record if renewed == record else renewed
