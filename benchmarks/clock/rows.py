"""The table of traces: what differs, and what counts as converged."""

from benchmarks.clock.traces import Path, Row

QUIET = Path(0.1, 0.1, 0.02)
LOADED = Path(0.1, 0.1, 0.3, spike_share=0.02, spike_ms=5)
BURSTS = Path(1, 1, 1, loss=0.01, burst_share=0.2, burst_s=1.5, burst_mean_ms=30)
WIFI_BAD = Path(1, 1, 5, loss=0.05, spike_share=0.01, spike_ms=100)
WIFI_AWFUL = Path(1, 1, 20, loss=0.2, spike_share=0.05, spike_ms=300)
OBLIQUE = Path(0.1, 4.1, 0.1)
GOOD_S, BAD_S = 2.0, 0.5


def _on(path: Path) -> tuple[tuple[float, Path], ...]:
    return ((0.0, path),)


ROWS: tuple[Row, ...] = (
    Row("lan-quiet", 300, _on(QUIET), 0.1, GOOD_S),
    Row("lan-loaded", 300, _on(LOADED), 0.25, GOOD_S),
    Row("wifi-bursts", 300, _on(BURSTS), 0.5, BAD_S),
    Row("wifi-bad", 300, _on(WIFI_BAD), 0.5, BAD_S),
    Row("wifi-awful", 300, _on(WIFI_AWFUL), 2.5, BAD_S),
    # 4 ms more in one direction: 2 ms of error that no exchange of messages can show.
    Row("asymmetric", 300, _on(OBLIQUE), 2.1),
    Row(
        "path-worsens",
        300,
        ((0.0, LOADED), (120.0, Path(3.1, 1.1, 0.6, spike_share=0.02, spike_ms=5))),
        1.25,
        upset_s=120,
    ),
    Row("skew-200ppm", 300, _on(LOADED), 0.25, skew_ppm=200),
    Row("slew-50ppm", 300, _on(LOADED), 0.25, slews=((100, 130, 50), (180, 210, -50)), upset_s=100),
    Row(
        *("slew-500ppm", 300, _on(LOADED), 0.25),
        slews=((100, 108, 500), (180, 188, -500)),
        upset_s=100,
    ),
    Row("slew-wifi", 300, _on(WIFI_BAD), 1, BAD_S, slews=((100, 160, 50),), upset_s=100),
    Row("step-2ms", 240, _on(LOADED), 0.25, steps=((100, 0.002, False),), upset_s=100, blind_s=1.5),
    Row(
        "step-minus-2ms",
        240,
        _on(LOADED),
        0.25,
        steps=((100, -0.002, False),),
        upset_s=100,
        blind_s=1.5,
    ),
    Row("suspended-3s", 240, _on(LOADED), 0.25, steps=((100, 3, False),), upset_s=100, blind_s=1.5),
    Row(
        "suspended-there",
        240,
        _on(LOADED),
        0.25,
        steps=((100, -3, False),),
        upset_s=100,
        blind_s=1.5,
    ),
    Row("new-master", 240, _on(WIFI_BAD), 0.5, BAD_S, steps=((100, -5_000, True),), upset_s=100),
    Row("warming-1h", 3600, _on(LOADED), 0.25, GOOD_S, warm_ppm=3),
    Row("beacons-only", 300, _on(WIFI_BAD), 5, probes=False),
)
