"""Entry point of the exporter: listen to the device's bus, serve ``/metrics``."""

import platform
import sys

from prometheus_client import CollectorRegistry, ProcessCollector

import unisono
from services.exporter.fold import Fold
from services.exporter.server import MetricsServer
from unisono.bus import Bus
from unisono.bus.topics import TOPICS
from unisono.config import load_settings
from unisono.runtime import SystemClock, run_daemon, set_log_level
from unisono.telemetry import table
from unisono.telemetry.exposition import LedgerCollector
from unisono.telemetry.ledger import Ledger

# Scrapes are many seconds apart: waking for each of some twenty messages a second would be most
# of this process's cost. Far within the bus's queue of 64 messages.
READ_EVERY_S = 0.5


async def serve() -> None:
    """Fold what the bus says into metrics until cancelled."""
    settings = load_settings()
    set_log_level(settings.log_level)
    clock, ledger = SystemClock(), Ledger()
    ledger.set(table.BUILD, 1.0, unisono.__version__, platform.python_version())
    fold = Fold(ledger, now_ns=clock.own_ns())
    registry = CollectorRegistry()
    target = {"device_id": settings.device_id, "site": settings.site}
    registry.register(LedgerCollector(ledger, target))
    ProcessCollector(registry=registry)

    bus = Bus(settings.bus_dir)
    subscriber = bus.subscriber(TOPICS, every_s=READ_EVERY_S)

    def refresh() -> None:
        fold.take_undecodable(subscriber.undecodable)
        fold.refresh(now_ns=clock.own_ns())

    def health() -> dict[str, object]:
        return {"status": "ok", "topic_age_seconds": fold.ages_s(now_ns=clock.own_ns())}

    server = MetricsServer(registry, refresh, health)
    try:
        await server.start(settings.exporter_host, settings.exporter_port)
        async for topic, message in subscriber:
            fold.take(topic.name, message, now_ns=clock.own_ns())
    finally:
        server.close()
        bus.close()


def main() -> int:
    """Run the exporter of this device."""
    return run_daemon("exporter", serve)


if __name__ == "__main__":
    sys.exit(main())
