"""Networks by name: what the links of a lab do. Pure.

The rules of ``lan`` hold on the way *towards* each device, drawn for each receiver by itself: so
a frame from A to B meets them once, and so does the answer from B to A. The control plane lives
in the internet: ``wan`` holds on both directions of its cable, in every profile but ``wired``,
where all is near, as it is on a plain bridge. So a site's odd LAN is always tried together with
a cloud as far away as clouds are, and ``wan`` shows what the far cloud does by itself.
"""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.cli.lab.link import CLEAR, Jitter, LinkRules
from unisono.runtime import UserError


@dataclass(frozen=True, slots=True)
class Profile:
    """One network: the rules of its links, as the switch sees them."""

    name: str
    lan: LinkRules  # towards every device
    wan: LinkRules  # towards the control plane, and from it
    from_others: LinkRules = CLEAR  # from every device but the first

    def towards(self, host: str, control: str) -> LinkRules:
        """The rules on the way to ``host``; ``control`` names the control plane's host."""
        return self.wan if host == control else self.lan

    def leaving(self, host: str, control: str, first: str) -> LinkRules:
        """The rules on the way from ``host``; ``first`` names the first device."""
        if host == control:
            return self.wan
        return CLEAR if host == first else self.from_others


# Some switches and 100 m of cable: what a LAN of 100 Mbit/s shows for small packets.
_WIRED = LinkRules(delay_ms=0.05, jitter=Jitter.NORMAL, jitter_ms=0.01)
# 80 ± 30 ms a round trip, half of it each way: a server on the same continent over a home line.
# TCP flows of the internet are hardly ever reordered.
_FAR = LinkRules(delay_ms=40.0, jitter=Jitter.NORMAL, jitter_ms=15.0, in_order=True)

PROFILES = (
    Profile("wired", lan=_WIRED, wan=_WIRED),
    # An access point in the same room with a free channel.
    Profile(
        "wifi-good",
        lan=LinkRules(
            jitter=Jitter.EXPONENTIAL,
            jitter_ms=1.5,
            loss_share=0.005,
            spike_share=0.002,
            spike_max_ms=30.0,
        ),
        wan=_FAR,
    ),
    # A busy channel, two walls away.
    Profile(
        "wifi-bad",
        lan=LinkRules(
            jitter=Jitter.EXPONENTIAL,
            jitter_ms=5.0,
            loss_share=0.05,
            spike_share=0.01,
            spike_max_ms=100.0,
        ),
        wan=_FAR,
    ),
    # At the edge of reach: hardly a network.
    Profile(
        "wifi-awful",
        lan=LinkRules(
            jitter=Jitter.EXPONENTIAL,
            jitter_ms=20.0,
            loss_share=0.2,
            spike_share=0.05,
            spike_max_ms=300.0,
        ),
        wan=_FAR,
    ),
    # A router that lets no multicast through, as guests' networks do.
    Profile(
        "multicast-blocked",
        lan=LinkRules(delay_ms=0.05, jitter=Jitter.NORMAL, jitter_ms=0.01, multicast_blocked=True),
        wan=_FAR,
    ),
    # A firewall that knows streams only.
    Profile(
        "udp-blocked",
        lan=LinkRules(delay_ms=0.05, jitter=Jitter.NORMAL, jitter_ms=0.01, udp_blocked=True),
        wan=_FAR,
    ),
    # The way back takes 4 ms longer than the way there: no exchange of time stamps can see it, and
    # what is found of the other's clock is 2 ms wrong.
    Profile(
        "asymmetric",
        lan=LinkRules(delay_ms=0.2),
        wan=_FAR,
        from_others=LinkRules(delay_ms=4.0),
    ),
    Profile("wan", lan=_WIRED, wan=_FAR),
)


def find_profile(name: str) -> Profile:
    """The profile called ``name``; UserError with near matches when there is none."""
    by_name = {profile.name: profile for profile in PROFILES}
    if name in by_name:
        return by_name[name]
    near = difflib.get_close_matches(name.lower(), by_name, n=2)
    advice = f"did you mean {' or '.join(near)}" if near else "--net list shows them all"
    raise UserError(f"--net {name}: there is no such profile; {advice}")


def table(profiles: Sequence[Profile] = PROFILES) -> str:
    """All profiles with their figures, for reading."""
    rows = [("profile", "towards each device", "to and from the cloud")]
    for profile in profiles:
        lan = describe(profile.lan)
        if profile.from_others != CLEAR:
            lan += f"; from all but the first {describe(profile.from_others)}"
        rows.append((profile.name, lan, describe(profile.wan)))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in rows)


def describe(rules: LinkRules) -> str:
    """The figures of ``rules`` in words; "clear" when they do nothing."""
    return ", ".join(_words(rules)) or "clear"


def _words(rules: LinkRules) -> Iterator[str]:
    if rules.down:
        yield "down"
    if rules.jitter is Jitter.NORMAL:
        yield f"{rules.delay_ms:g} ± {rules.jitter_ms:g} ms"
    elif rules.delay_ms:
        yield f"{rules.delay_ms:g} ms"
    if rules.jitter is Jitter.EXPONENTIAL:
        yield f"{rules.jitter_ms:g} ms mean exponential delay"
    if rules.spike_share:
        yield f"{_percent(rules.spike_share)} spikes up to {rules.spike_max_ms:g} ms"
    if rules.loss_share:
        yield f"{_percent(rules.loss_share)} loss"
    if rules.burst_enter_share:
        yield (
            f"bursts ({_percent(rules.burst_enter_share)} in, "
            f"{_percent(rules.burst_leave_share)} out, {_percent(rules.burst_loss_share)} loss)"
        )
    if rules.duplicate_share:
        yield f"{_percent(rules.duplicate_share)} twice"
    if rules.rate_kbits:
        yield f"{rules.rate_kbits:g} kbit/s"
    if rules.udp_blocked:
        yield "UDP blocked"
    if rules.multicast_blocked:
        yield "no multicast"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
