"""Decisions on a site's flags: what operators set, versioned, told to whom it concerns."""

import json
from collections.abc import Mapping
from dataclasses import replace

from unisono.core.leases import forgiven
from unisono.core.reissue import changed, joined, reissued, running_all
from unisono.core.site_document import Decision, SessionRecord, SiteDocument, SiteEvent, SiteFlags


def change_flags(
    site: SiteDocument,
    values: Mapping[str, str | None],
    *,
    device_id: str = "",
    who: str,
    why: str,
    now_ms: int,
) -> Decision:
    """Set flags of the site, or of one device; None removes one. Names and values are not judged.

    The version grows by one, unless nothing changes. Running sessions for a member of which
    something else holds from now on are told anew, in the same term.
    """
    old = site.flags
    held = old.devices.get(device_id, {}) if device_id else old.site
    asked = {**held, **values}
    fresh = {name: value for name, value in asked.items() if value is not None}
    if fresh == dict(held):
        return Decision(site)
    flags = _of_device(old, device_id, fresh) if device_id else replace(old, site=fresh)
    flags = replace(flags, version=old.version + 1)
    told = {"version": flags.version, "values": dict(values), "why": why}
    detail = json.dumps(told, ensure_ascii=False, sort_keys=True)
    event = SiteEvent("flags_changed", now_ms, device_id=device_id, who=who, detail=detail)
    decision = Decision(replace(site, flags=flags), events=(event,))
    for record in running_all(site):
        if _concerned(record, old, flags):
            # They may be what the LAN depends on: whoever was not heard before may lead again.
            fresh_start = forgiven(record)
            again = reissued(
                changed(decision.site, record, fresh_start),
                fresh_start,
                record.spec,
                "reissued",
                now_ms=now_ms,
                device_id=device_id,
                who=who,
                detail="its flags were changed",
            )
            decision = joined(decision, again)
    return decision


def without_device(flags: SiteFlags, device_id: str) -> SiteFlags:
    """The flags without what was set for one device, which is gone."""
    if device_id not in flags.devices:
        return flags
    return replace(_of_device(flags, device_id, {}), version=flags.version + 1)


def _of_device(flags: SiteFlags, device_id: str, values: Mapping[str, str]) -> SiteFlags:
    others = {name: held for name, held in flags.devices.items() if name != device_id}
    return replace(flags, devices={**others, device_id: values} if values else others)


def _concerned(record: SessionRecord, old: SiteFlags, new: SiteFlags) -> bool:
    asked = record.spec.flags
    names = (member.device_id for member in record.spec.members)
    return any(old.of(name, asked) != new.of(name, asked) for name in names)
