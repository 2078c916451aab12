"""Clock map: the master's monotonic clock as seen from this device's own.

A map travels with its error bound and its age; "not synchronised" is ``None``, never a zero map.
What no exchange of messages can reveal is a persistent asymmetry of the path: half of the
round trip's asymmetry stays in ``offset_ns``, and ``bound_ns`` is wide enough to cover it.
"""

from dataclasses import dataclass

from unisono.core.units import PPB, MasterNs, OwnNs, scale_ppb


@dataclass(frozen=True, slots=True)
class ClockMap:
    """Offset and skew of the master's clock against this device's, valid around ``at_own_ns``.

    ``offset_ns`` is master minus own at ``at_own_ns``; ``skew_ppb`` is its growth in ns per
    second of the own clock; ``bound_ns`` bounds the error of the offset at ``at_own_ns``, and
    ``skew_bound_ppb`` says how fast that bound grows with distance from it.
    """

    at_own_ns: OwnNs
    offset_ns: int
    skew_ppb: int
    bound_ns: int
    skew_bound_ppb: int

    def to_master(self, own_ns: OwnNs) -> MasterNs:
        """The master's clock at this device's ``own_ns``."""
        since_ns = own_ns - self.at_own_ns
        return MasterNs(own_ns + self.offset_ns + scale_ppb(since_ns, self.skew_ppb))

    def to_own(self, master_ns: MasterNs) -> OwnNs:
        """This device's clock at the master's ``master_ns``; inverse of `to_master` to 1 ns."""
        since_ns = master_ns - self.offset_ns - self.at_own_ns
        return OwnNs(self.at_own_ns + since_ns * PPB // (PPB + self.skew_ppb))

    def bound_at_ns(self, own_ns: OwnNs) -> int:
        """Error bound at ``own_ns``: it widens with age by what is not known of the skew."""
        return self.bound_ns + scale_ppb(abs(own_ns - self.at_own_ns), self.skew_bound_ppb)


def identity(own_ns: OwnNs) -> ClockMap:
    """The master's map of itself: exact, for ever."""
    return ClockMap(at_own_ns=own_ns, offset_ns=0, skew_ppb=0, bound_ns=0, skew_bound_ppb=0)
