"""What the Redis server is asked to run: four scripts, and how their arguments are packed.

They only read, compare and write: no decision lives there. Each names all its keys, so that any
server of a cluster may run it; a key in ``ARGV`` is the number of its place in ``KEYS``.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

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
)

Word = str | bytes | int

# Lua passes at most some 8000 values to one function; this many leave room.
CHUNK = 1000
# Part of the message when a number is to be added to what is none, the server's own and ours.
NOT_A_NUMBER = "is not an integer"


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, and the name that the server knows it by once it has run it."""

    text: str
    sha1: str

    @classmethod
    def of(cls, text: str) -> "Script":
        """The script of that text."""
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


# A read in ARGV: the number of fields wanted and their names; -1 and none: all fields.
_LOOK = """
local function look(key)
  local names = tonumber(ARGV[at])
  local first = at + 1
  if names < 0 then
    at = first
    return redis.call('HGETALL', key)
  end
  at = first + names
  return redis.call('HMGET', key, unpack(ARGV, first, at - 1))
end
local found = {}
"""

# KEYS: that of each read. ARGV: the reads.
READ = Script.of(
    "local at = 1"
    + _LOOK
    + """
for i, key in ipairs(KEYS) do found[i] = look(key) end
return found
"""
)

# KEYS: the hash that is watched, then that of each read. ARGV: now, how many reads are made
# in any case, the reads. The further ones are null where the condition does not hold.
READ_WATCHING = Script.of(
    "local at = 3"
    + _LOOK
    + """
local always = tonumber(ARGV[2])
for i = 1, always do found[i] = look(KEYS[i + 1]) end
local now = tonumber(ARGV[1])
for _, value in ipairs(redis.call('HVALS', KEYS[1])) do
  local number = tonumber(value)
  if not number or number < now then
    local further = {}
    for i = always + 2, #KEYS do further[#further + 1] = look(KEYS[i]) end
    return {found, further}
  end
end
return {found, false}
"""
)

# KEYS: every log. ARGV: for each its latest and earliest time and the limit.
ENTRIES = Script.of("""
local found = {}
for i, key in ipairs(KEYS) do
  local at = 3 * i
  found[i] = redis.call('ZREVRANGEBYSCORE', key, ARGV[at - 2], ARGV[at - 1],
    'WITHSCORES', 'LIMIT', 0, ARGV[at])
end
return found
""")

# KEYS: every key that is touched. ARGV: the number of guards; for each guard its key, its field,
# "1" or "0" (present or absent) and the value expected; then the writes, each as command, key,
# number of further words, and these. What cannot be added to is found before anything is written.
# One command is not the server's own: RAISE writes a number that is larger than the one there.
RAISE = "RAISE"
COMMIT = Script.of("""
local at = 2
for _ = 1, tonumber(ARGV[1]) do
  local held = redis.call('HGET', KEYS[tonumber(ARGV[at])], ARGV[at + 1])
  if ARGV[at + 2] == '0' then
    if held then return 0 end
  elseif held ~= ARGV[at + 3] then
    return 0
  end
  at = at + 4
end
local first = at
while at <= #ARGV do
  if ARGV[at] == 'HINCRBY' then
    local key = KEYS[tonumber(ARGV[at + 1])]
    local held = redis.call('HGET', key, ARGV[at + 3])
    if held and not string.find(held, '^-?%d+$') then
      return redis.error_reply('ERR ' .. key .. ': ' .. ARGV[at + 3] .. ' is not an integer')
    end
  end
  at = at + 3 + tonumber(ARGV[at + 2])
end
at = first
while at <= #ARGV do
  local key = KEYS[tonumber(ARGV[at + 1])]
  local last = at + 2 + tonumber(ARGV[at + 2])
  if ARGV[at] == 'RAISE' then
    local held = redis.call('HGET', key, ARGV[at + 3])
    if (tonumber(held or '') or -math.huge) < tonumber(ARGV[last]) then
      redis.call('HSET', key, ARGV[at + 3], ARGV[last])
    end
  else
    redis.call(ARGV[at], key, unpack(ARGV, at + 3, last))
  end
  at = last + 1
end
return 1
""")

# KEYS: the hash. ARGV: the field, how much, and the TTL in ms or "".
COUNT = Script.of("""
local number = redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
if ARGV[3] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return number
""")


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
    """The script that adds and tells."""
    ttl: Word = "" if add.ttl_ms is None else add.ttl_ms
    return Call(COUNT, [add.key], [add.name, add.by, ttl])


def commit_call(guards: Sequence[Guard], writes: Sequence[Write]) -> Call:
    """The script for guarded writes."""
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
