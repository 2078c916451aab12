"""What devices say that they hold, and what they must be told for it."""

from dataclasses import replace

from unisono.core.commands import prepare_notice, stop
from unisono.core.reissue import changed, joined, next_revision, reissued
from unisono.core.site_document import Decision, Held, SiteDocument, SiteEvent

# Revisions follow the wall clock, which may have been put back since; a site has run ahead of it
# by some. No restart, failover or loss of a document makes terms that fast.
MAX_AHEAD_OF_CLOCK_MS = 7 * 86_400_000
MAX_AHEAD_OF_SITE = 1_000_000
MAX_TERMS_AHEAD = 10_000
# How often it is said of one device that its claims are refused: it makes them in each heartbeat.
SAID_EVERY_MS = 3_600_000


def reconcile(site: SiteDocument, device_id: str, held: Held, *, now_ms: int) -> Decision:
    """What a device must be told that holds ``held``: nothing, if that is right.

    A device that lost its state, was away for long, or leads in an old term gets the session
    as it is now; one that plays what has ended, or stops, gets a STOP.

    What it claims is outdone when it is more than the document knows: that was lost. But not when
    no cloud can have given it out (`is_credible`). Then the device is told what holds all the same,
    and obeys if it can; it refuses whatever is below the revision or term that it holds, so it
    stays out of sessions until somebody enrols it anew. ``claim_refused`` says so, once an hour.
    """
    record = site.session_of(device_id)
    if not is_credible(site, held, now_ms=now_ms):
        return _not_followed(site, device_id, held, now_ms)
    if record is None:
        return _not_playing(site, device_id, held, now_ms) if held.session_id else Decision(site)
    asked = Held(record.spec.session_id, record.spec.term, record.revision)
    if held == asked:
        return Decision(site)
    if held.revision >= record.revision:
        # A document that was lost or is an old copy: the newest term must win.
        spec, detail = record.spec, f"{device_id} held a newer revision"
        if held.session_id == spec.session_id and held.term > spec.term:
            spec, detail = replace(spec, term=held.term + 1), f"{device_id} held a newer term"
            renewed = replace(record, term_reason=detail)
            site, record = changed(site, record, renewed), renewed
        return reissued(
            site,
            record,
            spec,
            "reissued",
            now_ms=now_ms,
            outdone=held.revision,
            device_id=device_id,
            detail=detail,
        )
    return Decision(site, ((device_id, prepare_notice(record.spec, record.revision, now_ms)),))


def is_credible(site: SiteDocument, held: Held, *, now_ms: int) -> bool:
    """Whether a cloud can have given that out; a claim beyond must not drive the site's numbers.

    That is a revision up to seven days ahead of the clock, or a million ahead of the site's, and
    a term up to ten thousand ahead of its session's.
    """
    record = site.session(held.session_id)
    if record is not None and held.term > record.spec.term + MAX_TERMS_AHEAD:
        return False
    most = max(now_ms + MAX_AHEAD_OF_CLOCK_MS, site.revision + MAX_AHEAD_OF_SITE)
    return held.revision <= most


def _not_followed(site: SiteDocument, device_id: str, held: Held, now_ms: int) -> Decision:
    """What holds, for a device whose claim cannot be right, and a word on that now and then."""
    record = site.session_of(device_id)
    decision = Decision(site)
    if record is not None:
        notice = prepare_notice(record.spec, record.revision, now_ms)
        decision = Decision(site, ((device_id, notice),))
    elif held.session_id:
        term_over = stop(held.session_id, held.term, site.revision, now_ms)
        decision = Decision(site, ((device_id, term_over),))
    lately = {n: ms for n, ms in site.refused_ms.items() if abs(now_ms - ms) < SAID_EVERY_MS}
    if device_id in lately:
        return decision
    event = SiteEvent(
        "claim_refused",
        now_ms,
        held.session_id,
        held.term,
        device_id,
        detail=f"it claims revision {held.revision}, term {held.term}: enrol it anew",
    )
    said = replace(site, refused_ms={**lately, device_id: now_ms})
    return joined(decision, Decision(said, events=(event,)))


def _not_playing(site: SiteDocument, device_id: str, held: Held, now_ms: int) -> Decision:
    """The STOP for a device that claims a session and shall play none."""
    stopping = site.session(held.session_id)
    if stopping is not None and held.revision < stopping.revision:
        # The very STOP that it was told already, so that its answer counts.
        command = stop(held.session_id, stopping.spec.term, stopping.revision, now_ms)
        return Decision(site, ((device_id, command),))
    if held.revision >= site.revision:
        # The document knows less than the device: it was lost. A new revision outdoes both.
        site = replace(site, revision=next_revision(site, now_ms, held.revision))
    command = stop(held.session_id, held.term, site.revision, now_ms)
    return Decision(site, ((device_id, command),))
