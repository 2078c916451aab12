"""``python -m benchmarks.fuzz RUNS``: so many inputs, split over the processors."""

import argparse
import hashlib
import importlib.util
import os
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.errors import BenchError
from benchmarks.fuzz.judge import MESSAGES
from benchmarks.fuzz.mutate import MAX_BYTES, SEEDS

ROOM: Final = Path("build/fuzz")
# One input takes some 50 µs; this long it takes only in a loop without an end.
STUCK_S: Final = 10
LAST_LINE = re.compile(r"^#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)/", re.MULTILINE)


def main() -> int:
    """Fuzz, tell what was reached; 1 when something was found, 2 when it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("runs", type=int, help="inputs, all processes together")
    parser.add_argument("--room", type=Path, default=ROOM, help="for corpus, logs and findings")
    parser.add_argument("--seed", type=int, help="of the first process; default: random")
    arguments = parser.parse_args()
    seed = secrets.randbits(31) if arguments.seed is None else arguments.seed
    try:
        if importlib.util.find_spec("atheris") is None:
            raise BenchError("atheris is not here: run make fuzz, with Python 3.11 or 3.12")
        return _run(max(1, arguments.runs), arguments.room, seed)
    except BenchError as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return 2


def _run(runs: int, room: Path, seed: int) -> int:
    seeds = room / "seeds"
    seeds.mkdir(parents=True, exist_ok=True)
    for data in SEEDS:
        (seeds / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    count = min(os.cpu_count() or 1, runs)
    names = ", ".join(message.name for message in MESSAGES)
    print(f"fuzz: {runs} inputs for {names}; {len(SEEDS)} seeds, {count} processes, seed {seed}")
    begun = time.monotonic()
    workers = [_start(room, number, -(-runs // count), seed + number) for number in range(count)]
    failed = 0
    for number, worker in enumerate(workers):
        status = worker.wait()
        text = _log(room, number).read_text(encoding="utf-8", errors="replace")
        if status == 0 and (last := LAST_LINE.findall(text)):
            done, edges, features, corpus = last[-1]
            print(
                f"fuzz: process {number}: {done} inputs, {edges} edges and {features} features"
                f" of the decoders reached, {corpus} inputs kept"
            )
        else:
            failed += 1
            print(f"fuzz: process {number} found something (exit status {status}):\n{text[-3000:]}")
    print(f"fuzz: {time.monotonic() - begun:.0f} s; {failed or 'no'} findings; see {room}")
    return 1 if failed else 0


def _start(room: Path, number: int, runs: int, seed: int) -> "subprocess.Popen[bytes]":
    corpus = room / f"corpus-{number}"
    corpus.mkdir(exist_ok=True)
    command = [
        *(sys.executable, "-m", "benchmarks.fuzz.worker"),
        *(f"-runs={runs}", f"-seed={seed}", f"-max_len={MAX_BYTES}", f"-timeout={STUCK_S}"),
        *(f"-artifact_prefix={room}/found-", "-print_final_stats=1"),
        *(str(corpus), str(room / "seeds")),
    ]
    with _log(room, number).open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def _log(room: Path, number: int) -> Path:
    return room / f"worker-{number}.log"


if __name__ == "__main__":
    sys.exit(main())
