"""What messages say of the master's clock: the stamps of a probe, or of a beacon."""

from dataclasses import dataclass

from unisono.core.units import MasterNs, OwnNs


@dataclass(frozen=True, slots=True)
class ProbeSample:
    """One exchange: sent and received by us (own clock), received and sent by the master."""

    own_sent_ns: OwnNs
    master_received_ns: MasterNs
    master_sent_ns: MasterNs
    own_received_ns: OwnNs

    @property
    def rtt_ns(self) -> int:
        """Time on the path, both ways, without the master's own."""
        away_ns = self.own_received_ns - self.own_sent_ns
        return away_ns - (self.master_sent_ns - self.master_received_ns)


@dataclass(frozen=True, slots=True)
class BeaconSample:
    """One beacon: the master's stamp at sending, ours at receipt."""

    master_sent_ns: MasterNs
    own_received_ns: OwnNs
