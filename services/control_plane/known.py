"""Devices as decisions see them, made of what the store keeps of their calls."""

from unisono.core.mode import Mode
from unisono.core.session import Member
from unisono.core.site_document import KnownDevice
from unisono.state.documents import DeviceView, SiteView
from unisono.state.records import HeartbeatReport


def known_devices(view: DeviceView | SiteView) -> dict[str, KnownDevice]:
    """Every device of the site that has called, by id."""
    names = {*view.reports, *view.seen_ms}
    return {name: known_device(view, name) for name in names}


def known_device(view: DeviceView | SiteView, device_id: str) -> KnownDevice:
    """One device, whether it has called or not."""
    report, seen_ms = view.reports.get(device_id), view.seen_ms.get(device_id)
    if report is None:
        return KnownDevice(device_id, None, seen_ms)
    return as_said(device_id, report, seen_ms)


def as_said(device_id: str, report: HeartbeatReport, seen_ms: int | None) -> KnownDevice:
    """A device as its heartbeat says, last heard of at ``seen_ms``."""
    return KnownDevice(
        device_id=device_id,
        place=Member(device_id, report.address, report.beacon_port, report.probe_port),
        seen_ms=seen_ms,
        interval_ms=round(report.interval_s * 1000),
        boot_id=report.boot_id,
        in_lan=in_lan(report.mode, report.session_id, report.term),
        said_ms=report.at_ms,
    )


def in_lan(mode: str, session_id: str, term: int) -> tuple[str, int] | None:
    """The session and term whose beat a device hears on the LAN, by what it says of itself."""
    return (session_id, term) if mode == Mode.LAN and session_id else None
