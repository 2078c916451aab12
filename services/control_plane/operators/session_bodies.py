"""Sessions and devices as operators see them, made of what the store keeps."""

from collections.abc import Mapping
from typing import Any

import msgspec

from services.control_plane.operators.bodies import (
    DeviceBody,
    Film,
    MemberBody,
    ProgressBody,
    SessionBody,
    SessionLine,
    SiteLine,
)
from services.control_plane.operators.decide import Settled, V
from unisono.config.flags import Flags, load_flags
from unisono.config.table import ConfigError
from unisono.core.election import LEASE_HEARTBEATS
from unisono.core.session import Role
from unisono.core.site_document import SessionRecord
from unisono.core.units import ns_to_ms
from unisono.state.documents import SiteView

_LEASE_MS = round(Flags().heartbeat_s * 1000) * LEASE_HEARTBEATS


def session_body(site: str, record: SessionRecord, settled: Settled[V]) -> SessionBody:
    """A session, without its secret."""
    spec, progress = record.spec, settled.progress_of(record)
    return SessionBody(
        session_id=spec.session_id,
        site=site,
        state=settled.state_of(record).value,
        term=spec.term,
        term_reason=record.term_reason,
        master_device_id=spec.master_device_id,
        successors=list(spec.successors),
        pinned=record.pinned,
        revision=record.revision,
        progress=ProgressBody(
            done=progress.done, failed=progress.failed, members=len(spec.members)
        ),
        members=[MemberBody(**msgspec.to_builtins(member)) for member in spec.members],
        playlist=[
            Film(
                uri=film.uri,
                duration_ms=ns_to_ms(film.duration_ns),
                fingerprint=film.fingerprint,
            )
            for film in spec.playlist.items
        ],
        start_at_ms=spec.start_at_ms,
        created_ms=record.created_ms,
        created_by=record.created_by,
        ended_ms=record.ended_ms,
        end_reason=record.end_reason,
        flags=spec.flags,
        flags_version=settled.site.flags.version,
    )


def session_line(record: SessionRecord, settled: Settled[V]) -> SessionLine:
    """A session in one line."""
    return SessionLine(
        session_id=record.spec.session_id,
        state=settled.state_of(record).value,
        term=record.spec.term,
        master_device_id=record.spec.master_device_id,
    )


def site_line(site: str, settled: Settled[V]) -> SiteLine:
    """A site in one line; seen is who was heard of within three heartbeats of the site's."""
    view = settled.view
    lease_ms = _lease_ms(settled.site.flags.site)
    times_ms = [view.seen_ms[name] for name in view.devices if name in view.seen_ms]
    return SiteLine(
        site=site,
        devices=len(view.devices),
        devices_seen=sum(settled.now_ms - at_ms <= lease_ms for at_ms in times_ms),
        sessions=[session_line(record, settled) for record in settled.site.sessions],
    )


def _lease_ms(flags: Mapping[str, str]) -> int:
    try:
        holding = load_flags(dict(flags))
    except ConfigError:  # set when the table was another: the defaults will do
        holding = Flags()
    return round(holding.heartbeat_s * 1000) * LEASE_HEARTBEATS


def device_body(device_id: str, settled: Settled[SiteView]) -> DeviceBody:
    """A device of the site."""
    view, record = settled.view, settled.site.session_of(device_id)
    asked = None if record is None else record.spec.flags
    return DeviceBody(
        device_id=device_id,
        enrolled_ms=view.devices[device_id].enrolled_ms,
        seen_ms=view.seen_ms.get(device_id),
        online=is_online(device_id, settled),
        rotating=view.devices[device_id].rotate,
        heartbeat=_plain(view.reports.get(device_id)),
        status=_plain(view.statuses.get(device_id)),
        session_id="" if record is None else record.spec.session_id,
        role=(Role.IDLE if record is None else record.spec.role_of(device_id)).value,
        last_ack=_plain(view.acks.get(device_id)),
        flags=settled.site.flags.of(device_id, asked),
    )


def is_online(device_id: str, settled: Settled[SiteView]) -> bool:
    """Whether the device was heard of within three heartbeats: of its own, if they are rarer."""
    seen_ms = settled.view.seen_ms.get(device_id)
    report = settled.view.reports.get(device_id)
    own_ms = 0 if report is None else round(report.interval_s * 1000) * LEASE_HEARTBEATS
    return seen_ms is not None and settled.now_ms - seen_ms <= max(_LEASE_MS, own_ms)


def _plain(document: Any) -> dict[str, Any] | None:
    plain: dict[str, Any] | None = msgspec.to_builtins(document)
    return plain
