"""Who leads first, who is to lead next, and the new term in which somebody else does."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from unisono.core.election import Candidate, elect, ranked
from unisono.core.leases import voted_out
from unisono.core.reissue import changed, reissued
from unisono.core.site_document import (
    Decision,
    KnownDevice,
    NewSession,
    Refused,
    SessionRecord,
    SiteDocument,
)

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


def new_term(
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
