"""Who leads a session, and when the lead moves: each move is a new term, told to all members.

Leases and votes are judged when devices call (`watching` says in which calls), so no clock of
the cloud has to tick.
"""

from collections.abc import Mapping
from dataclasses import replace

from unisono.core.clock_steps import in_time
from unisono.core.leases import (
    damped_until_ms,
    forgiven,
    heard_again,
    is_heard,
    is_led,
    is_silent,
    lease_from_ms,
    remembered,
    voted_out,
    was_silent,
)
from unisono.core.presence import note_boot
from unisono.core.reissue import changed, joined, running, running_all
from unisono.core.site_document import (
    Decision,
    KnownDevice,
    Refused,
    SessionRecord,
    SiteDocument,
)
from unisono.core.succession import (
    MAX_SUCCESSORS,
    first_master,
    new_term,
    next_master,
    successors,
)
from unisono.core.votes import Votes, votes_on
from unisono.core.watching import watch_until

__all__ = [
    "MAX_SUCCESSORS",
    "change_master",
    "first_master",
    "next_master",
    "note_boot",
    "renew_leases",
    "successors",
    "watch_until",
]


def change_master(
    site: SiteDocument,
    session_id: str,
    devices: Mapping[str, KnownDevice],
    *,
    device_id: str = "",
    who: str = "",
    now_ms: int,
) -> Decision:
    """An operator moves the lead: to ``device_id`` (pinned from then on), or to the next in line.

    It is never damped. Nothing changes when that device leads already. Refused:
    ``unknown_session``, ``not_a_member``, ``device_silent``.
    """
    record = running(site, session_id)
    if not device_id:
        successor = next_master(record, devices, now_ms)
        if successor is None:
            raise Refused("device_silent", "no other device of the session has called in lately")
        return _by_operator(site, record, devices, successor, "", who=who, now_ms=now_ms)
    if record.spec.member(device_id) is None:
        raise Refused("not_a_member", f"{device_id} is no member of session {session_id}")
    chosen = devices.get(device_id)
    if chosen is None or not is_heard(record, chosen, now_ms):
        raise Refused("device_silent", f"{device_id} has not called in lately: it cannot lead")
    if device_id == record.spec.master_device_id:
        return Decision(site)
    return _by_operator(site, record, devices, chosen, device_id, who=who, now_ms=now_ms)


def renew_leases(
    site: SiteDocument,
    devices: Mapping[str, KnownDevice],
    caller: KnownDevice,
    *,
    now_ms: int,
) -> Decision:
    """Move the lead of every session whose master is not heard any more.

    ``devices`` is what was known of all before this call, ``caller`` is who calls and what it
    says now. The lead moves at once when more than half of all other members say that they do not
    hear the master on the LAN, even if it still calls; not to one that was voted out itself
    lately, and not to one that was voted out at all while nobody has heard a master since, or a
    broken LAN would pass the lead around for ever (`leases.voted_out`). Else it moves when the
    master is silent beyond its lease, and no follower hears it on the LAN: then only its way to
    the cloud is broken.

    The lead stays when nobody else is alive: a master that may be back is better than none. When
    nobody of the session was heard of for a while, the cloud itself was away: everybody gets the
    time to come back, whoever comes first. And a lead that has moved by itself lately waits
    (`leases.damped_until_ms`).
    """
    decision = Decision(site)
    present = {**devices, caller.device_id: caller}
    for old in running_all(site):
        record = in_time(old, now_ms)
        record = heard_again(record, votes_on(record, present, now_ms), now_ms) or record
        if record is not old:
            decision = replace(decision, site=changed(decision.site, old, record))
        judged = _judged(decision.site, record, devices, present, now_ms)
        decision = joined(decision, judged)
    return decision


def _judged(
    site: SiteDocument,
    record: SessionRecord,
    devices: Mapping[str, KnownDevice],
    present: Mapping[str, KnownDevice],
    now_ms: int,
) -> Decision:
    """What becomes of the lead of one session; ``devices`` as before the call, ``present`` now."""
    votes = votes_on(record, present, now_ms)
    voted = _voted(record, present, votes, now_ms)
    if voted is None and is_led(record, present, votes, now_ms):
        return Decision(site)
    noted = None if voted else _silence(record, devices, present, now_ms)
    if noted is not None:
        return Decision(changed(site, record, noted))
    successor = voted or next_master(record, present, now_ms)
    if successor is None or now_ms < damped_until_ms(record, now_ms):
        return Decision(site)
    led = _moved(record, votes if voted else None, now_ms)
    return new_term(site, record, led, successor, present, kind="failover", now_ms=now_ms)


def _voted(
    record: SessionRecord, devices: Mapping[str, KnownDevice], votes: Votes, now_ms: int
) -> KnownDevice | None:
    """Whom a majority against the master gives the lead to; None: there is none, or nobody."""
    if not votes.most_do_not_hear:
        return None
    return next_master(record, devices, now_ms, by_vote=True)


def _silence(
    record: SessionRecord,
    devices: Mapping[str, KnownDevice],
    present: Mapping[str, KnownDevice],
    now_ms: int,
) -> SessionRecord | None:
    """The record when the silence of a master is one of all members; None: it is its own.

    A silence that lasts is noted once, for whoever looks when some are back: by then their own
    calls may have hidden that nobody was there.
    """
    lasts, noted = is_silent(record, present, now_ms), was_silent(record, present, now_ms)
    if lasts:
        return record if noted else replace(record, silent_ms=now_ms)
    if noted or is_silent(record, devices, now_ms):
        return replace(record, lease_from_ms=lease_from_ms(record, devices, now_ms))
    return None


def _moved(record: SessionRecord, votes: Votes | None, now_ms: int) -> SessionRecord:
    """The record of a session whose lead moves by itself, as far as it concerns the old master.

    ``votes`` are those by which it was voted out; None: it was silent.
    """
    master, out = record.spec.master_device_id, voted_out(record, now_ms)
    reason = f"{master} was silent"
    heard_by = record.heard_by
    if votes is not None:
        out[master] = now_ms
        heard_by = max(heard_by, votes.heard)
        reason = f"most others did not hear {master} on the LAN"
    moved_ms = (*remembered(record.moved_ms, now_ms), now_ms)
    return replace(
        record, moved_ms=moved_ms, voted_out_ms=out, heard_by=heard_by, term_reason=reason
    )


def _by_operator(
    site: SiteDocument,
    record: SessionRecord,
    devices: Mapping[str, KnownDevice],
    master: KnownDevice,
    pinned: str,
    *,
    who: str,
    now_ms: int,
) -> Decision:
    led = replace(forgiven(record), pinned=pinned, term_reason="changed by an operator")
    return new_term(
        site, record, led, master, devices, kind="master_changed", who=who, now_ms=now_ms
    )
