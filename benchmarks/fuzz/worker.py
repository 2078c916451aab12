"""One fuzzer, guided by coverage: ``python -m benchmarks.fuzz.worker`` and libFuzzer's options."""

import importlib
import random
import sys
from typing import Any

# Not typed, and on no machine but the one that fuzzes.
atheris: Any = importlib.import_module("atheris")

with atheris.instrument_imports(include=["unisono.wire"]):
    from benchmarks.fuzz.judge import judge, sign_again
    from benchmarks.fuzz.mutate import mutate


def main() -> None:
    """Run until libFuzzer has made as many runs as it was told; it ends the process itself."""
    atheris.Setup(sys.argv, judge_one, custom_mutator=mutate_one)
    atheris.Fuzz()


def judge_one(data: bytes) -> None:
    """What comes out of it is what the fuzzer has found."""
    judge(data)


def mutate_one(data: bytes, max_size: int, seed: int) -> bytes:
    """libFuzzer's own mutations, signed again most of the time, and ours."""
    dice = random.Random(seed)
    if dice.random() < 0.5:
        return mutate(data, dice)[:max_size]
    changed = bytes(atheris.Mutate(data, max_size))
    return sign_again(changed) if dice.random() < 0.7 else changed


if __name__ == "__main__":
    main()
