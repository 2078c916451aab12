"""What the followers of a session say of its master: votes on whether it is heard on the LAN.

A vote is what a follower last said of the beat, in the present term, within the session's lease.
That it does not hear the master counts only after a grace: a new term has to reach the follower,
and its beat to settle there. What the master says of itself is no vote.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from unisono.core.election import is_alive
from unisono.core.site_document import KnownDevice, SessionRecord

# A new term reaches a follower within a poll (2 s), and its beat has settled 1 s later.
VOTE_GRACE_MS = 5000


@dataclass(frozen=True, slots=True)
class Votes:
    """The votes on one master: how many may vote, how many do not hear it, how many do.

    ``heard_ms`` is when a follower last said that it hears the master (None: none does).
    """

    voters: int
    unheard: int
    heard: int
    heard_ms: int | None

    @property
    def most_do_not_hear(self) -> bool:
        """Whether more than half of all other members say that they do not hear the master."""
        return 2 * self.unheard > self.voters


def votes_on(record: SessionRecord, devices: Mapping[str, KnownDevice], now_ms: int) -> Votes:
    """The votes on the master of a session."""
    master = record.spec.master_device_id
    names = [m.device_id for m in record.spec.members if m.device_id != master]
    votes = [(devices[n], vote_of(record, devices[n], now_ms)) for n in names if n in devices]
    heard_ms = [d.said_ms for d, hears in votes if hears and d.said_ms is not None]
    unheard = sum(hears is False for _, hears in votes)
    return Votes(len(names), unheard, len(heard_ms), max(heard_ms, default=None))


def vote_of(record: SessionRecord, device: KnownDevice, now_ms: int) -> bool | None:
    """Whether a follower hears the master; None: it has no vote now."""
    said, said_ms, spec = device.hearing, device.said_ms, record.spec
    if said is None or said_ms is None or device.device_id == spec.master_device_id:
        return None
    if (said.session_id, said.term) != (spec.session_id, spec.term):
        return None
    if not is_alive(said_ms, now_ms=now_ms, lease_ms=record.lease_ms):
        return None
    # A device that calls rarely learns of a new term late, too.
    grace_ms = max(VOTE_GRACE_MS, device.interval_ms)
    if not said.hears and said_ms < record.term_from_ms + grace_ms:
        return None
    return said.hears
