"""The beacon paths side by side, on every network of the lab (root).

``python -m benchmarks.paths [NETWORK …] [--seconds 30]``: on each network all paths run at once
between two hosts that share one clock; delivered is the share of frames that came before a newer
one, age is from the stamp before sending to the stamp of arrival, CPU is of one end, its PGM child
included.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.path_end import PORTS, RATE_HZ
from services.cli.lab.profiles import PROFILES, find_profile
from services.cli.lab.switched import switched
from unisono.core.units import NS_PER_MS
from unisono.lan.paths import PGM
from unisono.lan.pgm import has_pgm

HOSTS = ("control", "sender", "hearer")
_HEAD = (
    f"{'network':18} {'path':12} {'delivered':>9} {'age p50':>8} {'p99':>8} {'max ms':>8} "
    f"{'late >50':>8} {'CPU send':>8} {'hear %':>7}"
)


def measure(network: str, seconds: float, seed: int) -> dict[str, dict[str, Any]]:
    """All paths at once on one network: figures by path."""
    paths = [path for path in PORTS if path != PGM or has_pgm()]
    with (
        tempfile.TemporaryDirectory(prefix="uni-paths-", dir="/tmp") as directory,
        switched(
            HOSTS, profile=find_profile(network), seed=seed, directory=Path(directory)
        ) as control,
    ):
        lab = control.lab
        ends = {
            (path, role): subprocess.Popen(
                [
                    *("ip", "netns", "exec", lab.namespace(host), sys.executable, "-m"),
                    *("benchmarks.path_end", role, path, lab.address(host)),
                    *(lab.address("sender"), str(seconds)),
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
            for path in paths
            for role, host in (("hear", "hearer"), ("send", "sender"))
        }
        told = {key: json.loads(end.communicate()[0]) for key, end in ends.items()}
    return {path: _figures(told[path, "send"], told[path, "hear"], seconds) for path in paths}


def _figures(sent: dict[str, Any], heard: dict[str, Any], seconds: float) -> dict[str, Any]:
    ages = sorted(heard["ages_ns"])
    expected = round(seconds * RATE_HZ)

    def age_ms(share: float) -> float | None:
        return ages[min(len(ages) - 1, int(len(ages) * share))] / NS_PER_MS if ages else None

    return {
        "delivered_ratio": heard["delivered"] / expected,
        "age_p50_ms": age_ms(0.5),
        "age_p99_ms": age_ms(0.99),
        "age_max_ms": age_ms(1.0),
        "late_ratio": sum(age > 50 * NS_PER_MS for age in ages) / expected,
        "cpu_send_pct": sent["cpu_pct"],
        "cpu_hear_pct": heard["cpu_pct"],
        "restarts": heard["restarts"],
    }


def line(network: str, path: str, found: dict[str, Any]) -> str:
    """One line of the table."""
    ages = [found[f"age_{name}_ms"] for name in ("p50", "p99", "max")]
    words = " ".join(f"{age:8.2f}" if age is not None else f"{'-':>8}" for age in ages)
    return (
        f"{network:18} {path:12} {found['delivered_ratio']:9.1%} {words} "
        f"{found['late_ratio']:8.1%} {found['cpu_send_pct']:8.2f} {found['cpu_hear_pct']:7.2f}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    known = [profile.name for profile in PROFILES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paths", description=__doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="default: all")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args(argv)
    if unknown := [name for name in asked.networks if name not in known]:
        print(f"paths: no {unknown[0]} here, only {', '.join(known)}", file=sys.stderr)
        return 2
    if not has_pgm():
        print("no PGM in this libzmq, so it is left out: make setup PGM=1")
    print(_HEAD)
    plain = {}
    for network in asked.networks or known:
        plain[network] = measure(network, asked.seconds, asked.seed)
        for path, found in plain[network].items():
            print(line(network, path, found), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(plain, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
