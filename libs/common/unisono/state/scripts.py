"""What the Redis server is asked to run: how calls of the scripts (`unisono.state.lua`) are packed.

Each names all its keys, so that any server of a cluster may run it; a key in ``ARGV`` is the
number of its place in ``KEYS``.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from unisono.state.lua import COMMIT, COUNT, ENTRIES, RAISE, READ, READ_WATCHING, Script
from unisono.state.store import (
    AddTo,
    Append,
    DropFields,
    Entries,
    Fields,
    Guard,
    RaiseTo,
    SetFields,
    Watch,
    Write,
    check_numbers,
)

Word = str | bytes | int

# Lua passes at most some 8000 values to one function; this many leave room.
CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Call:
    """A script with its keys and arguments."""

    script: Script
    keys: Sequence[str]
    args: Sequence[Word]


@dataclass(slots=True)
class Packed:
    """Reads as a script takes them; one of many names goes in several parts.

    ``places`` says of each part which read it belongs to.
    """

    keys: list[str] = field(default_factory=list)
    args: list[Word] = field(default_factory=list)
    places: list[tuple[int, tuple[str, ...] | None]] = field(default_factory=list)

    def add(self, place: int, line: Fields) -> None:
        """One more read."""
        if line.names is None:
            self.keys.append(line.key)
            self.args.append(-1)
            self.places.append((place, None))
            return
        for names in _chunks(line.names):
            self.keys.append(line.key)
            self.args += [len(names), *names]
            self.places.append((place, names))


def read_call(reads: Packed) -> Call:
    """The script for plain reads."""
    return Call(READ, reads.keys, reads.args)


def watching_call(always: Packed, watch: Watch, further: Packed) -> Call:
    """The script for reads of which some depend on a condition."""
    keys = [watch.key, *always.keys, *further.keys]
    args = [watch.now, len(always.keys), *always.args, *further.args]
    return Call(READ_WATCHING, keys, args)


def entries_call(reads: Sequence[Entries]) -> Call:
    """The script for reads of logs."""
    args: list[Word] = []
    for line in reads:
        args += [line.to_ms, line.from_ms, max(0, line.limit)]
    return Call(ENTRIES, [line.key for line in reads], args)


def count_call(add: AddTo) -> Call:
    """The script that adds and tells. `StateError`: see `check_numbers`."""
    check_numbers([add])
    ttl: Word = "" if add.ttl_ms is None else add.ttl_ms
    return Call(COUNT, [add.key], [add.name, add.by, ttl])


def commit_call(guards: Sequence[Guard], writes: Sequence[Write]) -> Call:
    """The script for guarded writes. `StateError`: see `check_numbers`."""
    check_numbers(writes)
    names = dict.fromkeys([guard.key for guard in guards] + [line.key for line in writes])
    places = {key: place for place, key in enumerate(names, 1)}
    args: list[Word] = [len(guards)]
    for guard in guards:
        present = guard.expected is not None
        args += [places[guard.key], guard.name, int(present), guard.expected or b""]
    for command, key, words in _commands(writes):
        args += [command, places[key], len(words), *words]
    return Call(COMMIT, list(names), args)


def _commands(writes: Iterable[Write]) -> Iterator[tuple[str, str, Sequence[Word]]]:
    """The server's commands for some writes.

    Each key is trimmed and given its TTL once, at the end: a call adds many fields to a few keys.
    """
    ends: dict[str, dict[str, Sequence[Word]]] = {}
    for line in writes:
        end = ends.setdefault(line.key, {})
        match line:
            case SetFields(key, values):
                flat = tuple(values.items())
                for at in range(0, len(flat), CHUNK):
                    yield "HSET", key, [word for pair in flat[at : at + CHUNK] for word in pair]
            case DropFields(key, None):
                end.clear()  # neither trimmed nor kept: what is written later begins anew
                yield "DEL", key, ()
            case DropFields(key, names):
                # What loses its last field loses its TTL: give it before that, as asked.
                yield from ((command, key, words) for command, words in end.items())
                end.clear()
                for chunk in _chunks(names or ()):
                    yield "HDEL", key, chunk
            case AddTo(key, name, by):
                yield "HINCRBY", key, (name, by)
            case RaiseTo(key, name, to):
                yield RAISE, key, (name, to)
            case Append(key, at_ms, entry, keep):
                yield "ZADD", key, ("GT", at_ms, entry)
                end["ZREMRANGEBYRANK"] = (0, -keep - 1)
        if not isinstance(line, DropFields) and line.ttl_ms is not None:
            end["PEXPIRE"] = (line.ttl_ms,)
    for key, end in ends.items():
        yield from ((command, key, words) for command, words in end.items())


def _chunks(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for at in range(0, len(names), CHUNK):
        yield names[at : at + CHUNK]
