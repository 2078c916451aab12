"""Who leads a session, and when the lead moves: each move is a new term, told to all members.

Leases and votes are judged when devices call (`watching` says in which calls), so no clock of
the cloud has to tick.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from unisono.core.election import Candidate, elect, ranked
from unisono.core.leases import (
    damped_until_ms,
    is_heard,
    is_led,
    is_silent,
    lease_from_ms,
    remembered,
    voted_out,
    was_silent,
)
from unisono.core.reissue import changed, joined, reissued, running, running_all
from unisono.core.site_document import (
    Decision,
    KnownDevice,
    NewSession,
    Refused,
    SessionRecord,
    SiteDocument,
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

# Whoever is named can make ready to lead. Three in a row do not fail at once.
MAX_SUCCESSORS = 3


def first_master(
    request: NewSession, devices: Mapping[str, KnownDevice], now_ms: int
) -> KnownDevice:
    """Who leads a new session, by the rule of `election`. Refused: ``device_silent``."""
    names = [request.pinned] if request.pinned else request.device_ids
    candidates = _candidates(names, devices)
    master = elect(candidates, pinned=request.pinned, now_ms=now_ms, lease_ms=request.lease_ms)
    if master is None:
        who = request.pinned or "none of the devices"
        has = "has not" if request.pinned else "has"
        raise Refused("device_silent", f"{who} {has} called in lately: start its cloud-bridge")
    return devices[master]


def successors(
    record: SessionRecord, devices: Mapping[str, KnownDevice], now_ms: int
) -> tuple[str, ...]:
    """Who is to lead after the present master: the best others by rank, of those alive."""
    names = (m.device_id for m in record.spec.members)
    out = {record.spec.master_device_id, *voted_out(record, now_ms)}
    return _alive(record, (n for n in names if n not in out), devices, now_ms)[:MAX_SUCCESSORS]


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
    lately, or a broken LAN would pass the lead around for ever. Else it moves when the master is
    silent beyond its lease, and no follower hears it on the LAN: then only its way to the cloud
    is broken.

    The lead stays when nobody else is alive: a master that may be back is better than none. When
    nobody of the session was heard of for a while, the cloud itself was away: everybody gets the
    time to come back, whoever comes first. And a lead that has moved by itself lately waits
    (`leases.damped_until_ms`).
    """
    decision = Decision(site)
    present = {**devices, caller.device_id: caller}
    for record in running_all(site):
        votes = votes_on(record, present, now_ms)
        voted = _voted(record, present, votes, now_ms)
        if voted is None and is_led(record, present, votes, now_ms):
            continue
        noted = None if voted else _silence(record, devices, present, now_ms)
        if noted is not None:
            decision = replace(decision, site=changed(decision.site, record, noted))
            continue
        successor = voted or next_master(record, present, now_ms)
        if successor is None or now_ms < damped_until_ms(record, now_ms):
            continue
        led = _moved(record, by_vote=voted is not None, now_ms=now_ms)
        moved = _new_term(
            decision.site, record, led, successor, present, kind="failover", now_ms=now_ms
        )
        decision = joined(decision, moved)
    return decision


def note_boot(site: SiteDocument, device_id: str, boot_id: str, *, now_ms: int) -> Decision:
    """A new term, same master, when the master was booted anew: its clock began again.

    In the old term its followers would refuse its beacons as late ones.
    """
    record = site.session_of(device_id)
    if record is None or record.spec.master_device_id != device_id or not boot_id:
        return Decision(site)
    if boot_id == record.master_boot_id:
        return Decision(site)
    noted = replace(record, master_boot_id=boot_id)
    if not record.master_boot_id:
        return Decision(changed(site, record, noted))
    reason = f"{device_id} was restarted"
    noted = replace(noted, term_reason=reason)
    spec = replace(record.spec, term=record.spec.term + 1)
    return reissued(
        changed(site, record, noted),
        noted,
        spec,
        "master_restarted",
        now_ms=now_ms,
        device_id=device_id,
        detail=reason,
    )


def next_master(
    record: SessionRecord,
    devices: Mapping[str, KnownDevice],
    now_ms: int,
    *,
    by_vote: bool = False,
) -> KnownDevice | None:
    """Who leads next, of the other members that are alive; None: nobody can.

    That is the pinned one, else the first of the successors that the term has named, else the
    best by rank. Who was voted out lately comes last, and is never chosen ``by_vote``.
    """
    spec, out = record.spec, voted_out(record, now_ms)
    names = (m.device_id for m in spec.members if m.device_id != spec.master_device_id)
    alive = _alive(record, names, devices, now_ms)
    willing = [name for name in alive if name not in out]
    if not willing and not by_vote:
        willing = list(alive)
    named = (name for name in (record.pinned, *spec.successors) if name in willing)
    chosen = next(named, next(iter(willing), None))
    return None if chosen is None else devices[chosen]


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
    lasts, noted = is_silent(record, present, now_ms), was_silent(record, present)
    if lasts:
        return record if noted else replace(record, silent_ms=now_ms)
    if noted or is_silent(record, devices, now_ms):
        return replace(record, lease_from_ms=lease_from_ms(record, devices, now_ms))
    return None


def _moved(record: SessionRecord, *, by_vote: bool, now_ms: int) -> SessionRecord:
    """The record of a session whose lead moves by itself, as far as it concerns the old master."""
    master, out = record.spec.master_device_id, voted_out(record, now_ms)
    reason = f"{master} was silent"
    if by_vote:
        out[master] = now_ms
        reason = f"most others did not hear {master} on the LAN"
    moved_ms = (*remembered(record.moved_ms, now_ms), now_ms)
    return replace(record, moved_ms=moved_ms, voted_out_ms=out, term_reason=reason)


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
    out = {n: ms for n, ms in voted_out(record, now_ms).items() if n != master.device_id}
    reason = "changed by an operator"
    led = replace(record, pinned=pinned, voted_out_ms=out, term_reason=reason)
    return _new_term(
        site, record, led, master, devices, kind="master_changed", who=who, now_ms=now_ms
    )


def _new_term(
    site: SiteDocument,
    record: SessionRecord,
    led: SessionRecord,
    master: KnownDevice,
    devices: Mapping[str, KnownDevice],
    *,
    kind: str,
    who: str = "",
    now_ms: int,
) -> Decision:
    """The session led by ``master`` from now on; ``led`` is the record with what else changes."""
    spec = replace(record.spec, term=record.spec.term + 1, master_device_id=master.device_id)
    led = replace(led, lease_from_ms=now_ms, master_boot_id=master.boot_id)
    spec = replace(spec, successors=successors(replace(led, spec=spec), devices, now_ms))
    return reissued(
        changed(site, record, led),
        led,
        spec,
        kind,
        now_ms=now_ms,
        device_id=master.device_id,
        who=who,
        detail=led.term_reason,
    )


def _alive(
    record: SessionRecord,
    names: Iterable[str],
    devices: Mapping[str, KnownDevice],
    now_ms: int,
) -> tuple[str, ...]:
    """Those of the members that are alive, the best by rank first."""
    candidates = _candidates(names, devices)
    return ranked(candidates, pinned=record.pinned, now_ms=now_ms, lease_ms=record.lease_ms)


def _candidates(names: Iterable[str], devices: Mapping[str, KnownDevice]) -> list[Candidate]:
    return [
        Candidate(d.device_id, d.seen_ms, d.interval_ms, d.wired, d.clock_healthy)
        for d in (devices[name] for name in names if name in devices)
    ]
