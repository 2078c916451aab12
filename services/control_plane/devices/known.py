"""Devices as decisions see them, made of what the store keeps of their calls."""

from typing import Protocol

from unisono.core.mode import Mode
from unisono.core.session import Member
from unisono.core.site_document import Hearing, KnownDevice, SiteDocument
from unisono.state.documents import DeviceView, Others, SiteView
from unisono.state.records import HeartbeatReport, RuntimeReport


class Said(Protocol):
    """What a heartbeat and a status both say."""

    @property
    def session_id(self) -> str:
        """The session that the device holds."""

    @property
    def term(self) -> int:
        """Its term."""

    @property
    def mode(self) -> str:
        """Where its timing comes from."""

    @property
    def beat_lost(self) -> bool:
        """Whether it follows a master on the LAN and does not hear it."""


def known_devices(view: DeviceView | SiteView) -> dict[str, KnownDevice]:
    """Every device of the site that has called, by id; of a `DeviceView` that read them all."""
    seen = view.others if isinstance(view, DeviceView) else view
    if seen is None:
        raise ValueError("this view has not read the other devices")
    return {name: _known(view.site, seen, name) for name in {*seen.reports, *seen.seen_ms}}


def own_device(view: DeviceView, device_id: str) -> KnownDevice:
    """The device that calls, as it was known before its call."""
    if view.report is None:
        return KnownDevice(device_id, None, view.seen_ms)
    return as_said(view.site, device_id, view.report, view.status, view.seen_ms)


def as_said(
    site: SiteDocument,
    device_id: str,
    report: HeartbeatReport,
    status: RuntimeReport | None,
    seen_ms: int | None,
) -> KnownDevice:
    """A device as its heartbeat and its status say, last heard of at ``seen_ms``."""
    newest = status if status is not None and status.at_ms > report.at_ms else report
    return KnownDevice(
        device_id=device_id,
        place=Member(device_id, report.address, report.beacon_port, report.probe_port),
        seen_ms=seen_ms,
        interval_ms=round(report.interval_s * 1000),
        boot_id=report.boot_id,
        hearing=hearing(site, device_id, newest),
        said_ms=newest.at_ms,
        wired=report.wired,
        clock_healthy=report.clock_healthy,
    )


def hearing(site: SiteDocument, device_id: str, said: Said) -> Hearing | None:
    """What a device says of the beat of its session; None: nothing."""
    record = site.session_of(device_id)
    if record is None or record.spec.session_id != said.session_id:
        return None
    if said.mode == Mode.LAN:
        return Hearing(said.session_id, said.term, hears=True)
    return Hearing(said.session_id, said.term, hears=False) if said.beat_lost else None


def _known(site: SiteDocument, seen: Others | SiteView, device_id: str) -> KnownDevice:
    report, seen_ms = seen.reports.get(device_id), seen.seen_ms.get(device_id)
    if report is None:
        return KnownDevice(device_id, None, seen_ms)
    return as_said(site, device_id, report, seen.statuses.get(device_id), seen_ms)
