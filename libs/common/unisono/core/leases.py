"""How long a silent master keeps the lead: its lease, and how often the lead may move by itself.

The lease is three heartbeats. It is one and a half when a follower says that it does not hear
the master on the LAN either. It counts from when the master was last heard of, and not from
before the record's ``lease_from_ms``.
"""

from collections.abc import Mapping
from dataclasses import replace

from unisono.core.cadence import MAX_RETURN_S
from unisono.core.election import LEASE_HEARTBEATS, is_alive, own_lease_ms, past_ms
from unisono.core.site_document import KnownDevice, SessionRecord
from unisono.core.votes import Votes

# A heartbeat that is late by jitter or by one lost packet is no silence, however fast they come.
MIN_LEASE_MS = 2000
# The lead moves twice within 5 s at the soonest, each further move takes twice as long, and a
# session is never longer than 2 min without a master that could be had.
DAMPING_MS = 5000
MAX_DAMPING_MS = 120_000
# Moves are forgotten after this long, and so is who was voted out, if the LAN was heard since.
MEMORY_MS = 600_000
# Who found the cloud away has asked again after this long.
MAX_RETURN_MS = round(MAX_RETURN_S * 1000)


def heartbeat_ms(record: SessionRecord, device: KnownDevice | None) -> int:
    """How often a member sends heartbeats: as it says, else as the session's lease says."""
    said_ms = 0 if device is None else device.interval_ms
    return said_ms or max(record.lease_ms // LEASE_HEARTBEATS, 1)


def lease_until_ms(
    record: SessionRecord, devices: Mapping[str, KnownDevice], votes: Votes, now_ms: int
) -> int:
    """Until when the master's lease holds, by what is known now."""
    lease_ms = _master_lease_ms(record, devices)
    if votes.unheard:
        master = devices.get(record.spec.master_device_id)
        short_ms = max(heartbeat_ms(record, master) * 3 // 2, MIN_LEASE_MS)
        lease_ms = min(lease_ms, short_ms)
    return _counts_from_ms(record, devices, now_ms) + lease_ms


def is_led(
    record: SessionRecord, devices: Mapping[str, KnownDevice], votes: Votes, now_ms: int
) -> bool:
    """Whether the master holds its lease, or a follower hears it on the LAN."""
    return now_ms <= lease_until_ms(record, devices, votes, now_ms) or votes.heard_ms is not None


def is_heard(record: SessionRecord, device: KnownDevice, now_ms: int) -> bool:
    """Whether the cloud has heard of a member within its lease."""
    lease_ms = own_lease_ms(device.interval_ms, record.lease_ms)
    return is_alive(device.seen_ms, now_ms=now_ms, lease_ms=lease_ms)


def is_silent(record: SessionRecord, devices: Mapping[str, KnownDevice], now_ms: int) -> bool:
    """Whether no member at all was heard of within its lease."""
    members = (devices.get(member.device_id) for member in record.spec.members)
    return not any(device and is_heard(record, device, now_ms) for device in members)


def was_silent(record: SessionRecord, devices: Mapping[str, KnownDevice], now_ms: int) -> bool:
    """Whether a silence of all was noted, and the master was not heard of or given time since."""
    return record.silent_ms > _counts_from_ms(record, devices, now_ms)


def lease_from_ms(record: SessionRecord, devices: Mapping[str, KnownDevice], now_ms: int) -> int:
    """From when the master's lease counts after a silence of all that is over now.

    It ends when all have had the time to come back: a lease, or longer if they were away for
    long, since who finds the cloud away asks less and less often.
    """
    until_ms = record.silent_ms if was_silent(record, devices, now_ms) else now_ms
    members = (devices.get(member.device_id) for member in record.spec.members)
    seen_ms = (d.seen_ms for d in members if d and d.seen_ms is not None and d.seen_ms <= until_ms)
    silence_ms = now_ms - max(record.lease_from_ms, *seen_ms, 0)
    lease_ms = _master_lease_ms(record, devices)
    return now_ms + max(min(silence_ms, MAX_RETURN_MS) - lease_ms, 0)


def damped_until_ms(record: SessionRecord, now_ms: int) -> int:
    """Before this the lead does not move by itself again; 0 when it has not moved lately."""
    return wait_until_ms(record.moved_ms, now_ms)


def wait_until_ms(times_ms: tuple[int, ...], now_ms: int) -> int:
    """Before this it does not happen again what happened at these times; 0 when not lately."""
    lately_ms = remembered(times_ms, now_ms)
    if not lately_ms:
        return 0
    doubled_ms = DAMPING_MS << min(len(lately_ms) - 1, 16)
    return min(lately_ms[-1], now_ms) + min(doubled_ms, MAX_DAMPING_MS)


def remembered(times_ms: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
    """Those of the times that are not forgotten yet."""
    return tuple(at_ms for at_ms in times_ms if now_ms - at_ms < MEMORY_MS)


def voted_out(record: SessionRecord, now_ms: int) -> dict[str, int]:
    """Who was voted out of the lead lately, and when.

    It is not forgotten until it has been noted that the LAN is heard again, however long that
    takes: where nobody hears anybody, each member leads once, and then the lead stays.
    """
    return {
        name: at_ms
        for name, at_ms in record.voted_out_ms.items()
        if now_ms - at_ms < MEMORY_MS or at_ms >= record.heard_ms
    }


def awaits_hearing(record: SessionRecord) -> bool:
    """Whether somebody was voted out, and no hearing was noted since (`heard_again`)."""
    return any(at_ms >= record.heard_ms for at_ms in record.voted_out_ms.values())


def heard_again(record: SessionRecord, votes: Votes, now_ms: int) -> SessionRecord | None:
    """The record with the note that the LAN is heard again; None: there is nothing to note.

    It is when at least half of the others hear the master, which no vote removes then; or when
    more hear one than did when masters were voted out. A LAN in two parts, where a few always
    hear the master and most do not, is as before.
    """
    if not votes.heard or not awaits_hearing(record):
        return None
    if 2 * votes.heard >= votes.voters:
        return replace(record, heard_ms=now_ms, heard_by=0)
    if votes.heard > record.heard_by:
        return replace(record, heard_ms=now_ms, heard_by=votes.heard)
    return None


def forgiven(record: SessionRecord) -> SessionRecord:
    """The record with nobody voted out: something has changed, everybody may be heard now."""
    return replace(record, voted_out_ms={}, heard_ms=0, heard_by=0)


def _counts_from_ms(record: SessionRecord, devices: Mapping[str, KnownDevice], now_ms: int) -> int:
    master = devices.get(record.spec.master_device_id)
    seen_ms = None if master is None else past_ms(master.seen_ms, now_ms)
    return max(seen_ms or 0, record.lease_from_ms)


def _master_lease_ms(record: SessionRecord, devices: Mapping[str, KnownDevice]) -> int:
    master = devices.get(record.spec.master_device_id)
    return own_lease_ms(master.interval_ms if master else 0, record.lease_ms)
