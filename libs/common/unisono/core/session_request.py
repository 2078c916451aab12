"""What can be a session: the checks on a request, before anything is decided."""

from collections.abc import Mapping

from unisono.core.session import Member
from unisono.core.site_document import KnownDevice, NewSession, Refused


def members_of(request: NewSession, devices: Mapping[str, KnownDevice]) -> tuple[Member, ...]:
    """The members' places, in the order of their ids.

    Refused: ``bad_session``, ``not_a_member``, ``unknown_device``, ``device_silent``.
    """
    ids = request.device_ids
    if not ids:
        raise Refused("bad_session", "a session needs at least one device")
    if len(set(ids)) != len(ids):
        raise Refused("bad_session", "a device is named twice")
    if not request.playlist.items:
        raise Refused("bad_session", "the playlist is empty")
    if any(item.duration_ns <= 0 for item in request.playlist.items):
        raise Refused("bad_session", "every film of the playlist needs a duration above 0")
    if request.start_delay_ms < 0:
        raise Refused("bad_session", "the start delay is below 0")
    if request.pinned and request.pinned not in ids:
        raise Refused("not_a_member", f"the master {request.pinned} is not among the devices")
    places: list[Member] = []
    for device_id in sorted(ids):
        device = devices.get(device_id)
        if device is None:
            raise Refused("unknown_device", f"{device_id} is not enrolled at this site")
        if device.place is None:
            raise Refused(
                "device_silent", f"{device_id} has never called in: start its cloud-bridge first"
            )
        places.append(device.place)
    return tuple(places)
