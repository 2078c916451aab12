"""When the leases of a site have to be judged: it spares reading every device at every call.

The shell keeps one time for each session (``LEADS``). Until then a call concerns its own device
alone, whatever the number of others; after it, whoever calls next has all of them read, and the
leases judged (`leadership.renew_leases`). So they are when a follower
says that it does not hear its master.
"""

from collections.abc import Mapping

from unisono.core.clock_steps import in_time
from unisono.core.election import own_lease_ms
from unisono.core.leases import awaits_hearing, damped_until_ms, heartbeat_ms, lease_until_ms
from unisono.core.reissue import running_all
from unisono.core.site_document import KnownDevice, SessionRecord, SiteDocument
from unisono.core.votes import votes_on


def watch_until(
    site: SiteDocument,
    devices: Mapping[str, KnownDevice] | None,
    caller: KnownDevice | None,
    *,
    now_ms: int,
) -> dict[str, int]:
    """For running sessions, the server time until which nobody has to judge their leases.

    With ``devices`` (all of the site; and ``caller``, if a device calls, as it is in the call):
    for every session of ``site``, the document after the call's decision. Without: only for the
    one that the caller leads, whose lease it renews by calling.
    """
    if devices is not None:
        known = devices if caller is None else {**devices, caller.device_id: caller}
        return {
            record.spec.session_id: _until_ms(record, known, now_ms) for record in running_all(site)
        }
    record = None if caller is None else site.session_of(caller.device_id)
    if caller is None or record is None or record.spec.master_device_id != caller.device_id:
        return {}
    lease_ms = own_lease_ms(caller.interval_ms, record.lease_ms)
    return {record.spec.session_id: now_ms + lease_ms}


def _until_ms(record: SessionRecord, devices: Mapping[str, KnownDevice], now_ms: int) -> int:
    record = in_time(record, now_ms)
    votes = votes_on(record, devices, now_ms)
    until_ms = lease_until_ms(record, devices, votes, now_ms)
    if votes.heard_ms is not None:
        until_ms = max(until_ms, votes.heard_ms + record.lease_ms)
    look_ms = now_ms + heartbeat_ms(record, None)
    if until_ms >= now_ms:
        # Who was voted out is forgotten when somebody hears a master: that must not be missed.
        return min(until_ms, look_ms) if awaits_hearing(record) else until_ms
    # It should move and cannot: it is damped, or nobody else is there. A look each heartbeat.
    damped_ms = damped_until_ms(record, now_ms)
    return min(look_ms, damped_ms - 1) if damped_ms > now_ms else look_ms
