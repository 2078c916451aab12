"""The four scripts that the Redis server runs for a store.

They only read, compare and write: no decision lives there. The server takes nothing back that a
script has written when a later command of it fails. So what may fail is found before anything is
written: `Script` texts that write check first, and answer an error that begins with `REFUSED`.
"""

import hashlib
from dataclasses import dataclass

from unisono.state.store import BELOW

# The first word of an error of these scripts: no command was carried out.
REFUSED = "STATE"


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, and the name that the server knows it by once it has run it."""

    text: str
    sha1: str

    @classmethod
    def of(cls, *parts: str) -> "Script":
        """The script of these parts, one after the other."""
        text = "".join(parts)
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


# A whole number as the server itself writes it; nil for anything else.
_WHOLE = """
local function whole(text)
  if text and (text == '0' or string.find(text, '^-?[1-9]%d*$')) then return tonumber(text) end
end
"""

# What a field will hold that is added to, or nil and the error that says why it cannot be.
_SUM = f"""
local function sum(key, name, held, by)
  local number = whole(held or '0')
  local why
  if not number then
    why = 'is no whole number'
  elseif math.abs(number) < {BELOW} and math.abs(number + by) < {BELOW} then
    return number + by
  else
    why = 'would leave the range of whole numbers that are kept exactly'
  end
  return nil, redis.error_reply('{REFUSED} ' .. key .. ': ' .. name .. ' ' .. why)
end
"""

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
    "local at = 1",
    _LOOK,
    """
for i, key in ipairs(KEYS) do found[i] = look(key) end
return found
""",
)

# KEYS: the hash that is watched, then that of each read. ARGV: now, how many reads are made
# in any case, the reads. The further ones are null where the condition does not hold.
READ_WATCHING = Script.of(
    _WHOLE,
    "local at = 3",
    _LOOK,
    """
local always = tonumber(ARGV[2])
for i = 1, always do found[i] = look(KEYS[i + 1]) end
local now = tonumber(ARGV[1])
for _, value in ipairs(redis.call('HVALS', KEYS[1])) do
  local number = whole(value)
  if not number or number < now then
    local further = {}
    for i = always + 2, #KEYS do further[#further + 1] = look(KEYS[i]) end
    return {found, further}
  end
end
return {found, false}
""",
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

# One command of a commit is not the server's own: it writes a number that is larger than the
# one there.
RAISE = "RAISE"

# The first guard that does not hold ends the script; `at` is behind them after that.
_GUARDS = """
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
"""

# Go through the writes without writing: `kinds` is what each key will be, `will` what its fields
# will hold as far as that is another thing than now (false: nothing); `gone` keys held nothing.
_CHECKS = f"""
local counts = {{HSET = 'HLEN', HDEL = 'HLEN', HINCRBY = 'HLEN', RAISE = 'HLEN', ZADD = 'ZCARD'}}
local names = {{HLEN = 'hash', ZCARD = 'log'}}
local kinds, will, gone = {{}}, {{}}, {{}}
while at <= #ARGV do
  local command, place, last = ARGV[at], ARGV[at + 1], at + 2 + tonumber(ARGV[at + 2])
  local key, name, count = KEYS[tonumber(place)], ARGV[at + 3], counts[command]
  local fields = will[place]
  if not fields then
    fields = {{}}
    will[place] = fields
  end
  if command == 'DEL' then
    kinds[place], will[place], gone[place] = nil, {{}}, true
  elseif count and kinds[place] ~= count then
    -- The server refuses to count what is of another kind.
    if kinds[place] or not gone[place] and type(redis.pcall(count, key)) == 'table' then
      return redis.error_reply('{REFUSED} ' .. key .. ' is no ' .. names[count])
    end
    kinds[place] = count
  end
  if command == 'HSET' then
    for i = at + 3, last, 2 do fields[ARGV[i]] = ARGV[i + 1] end
  elseif command == 'HDEL' then
    for i = at + 3, last do fields[ARGV[i]] = false end
  elseif command == 'HINCRBY' or command == 'RAISE' then
    local held, now = fields[name], tonumber(ARGV[last])
    if held == nil and not gone[place] then held = redis.call('HGET', key, name) end
    if command == 'HINCRBY' then
      local number, refusal = sum(key, name, held, now)
      if refusal then return refusal end
      fields[name] = string.format('%.0f', number)
    elseif (whole(held) or -math.huge) < now then
      fields[name] = ARGV[last]
    end
  end
  at = last + 1
end
at = first
"""

# KEYS: every key that is touched. ARGV: the number of guards; for each guard its key, its field,
# "1" or "0" (present or absent) and the value expected; then the writes, each as command, key,
# number of further words, and these.
COMMIT = Script.of(
    _WHOLE,
    _SUM,
    _GUARDS,
    _CHECKS,
    """
while at <= #ARGV do
  local key = KEYS[tonumber(ARGV[at + 1])]
  local last = at + 2 + tonumber(ARGV[at + 2])
  if ARGV[at] == 'RAISE' then
    local held = redis.call('HGET', key, ARGV[at + 3])
    if (whole(held) or -math.huge) < tonumber(ARGV[last]) then
      redis.call('HSET', key, ARGV[at + 3], ARGV[last])
    end
  else
    redis.call(ARGV[at], key, unpack(ARGV, at + 3, last))
  end
  at = last + 1
end
return 1
""",
)

# KEYS: the hash. ARGV: the field, how much, and the TTL in ms or "".
COUNT = Script.of(
    _WHOLE,
    _SUM,
    """
local held = redis.call('HGET', KEYS[1], ARGV[1])
local _, refusal = sum(KEYS[1], ARGV[1], held, tonumber(ARGV[2]))
if refusal then return refusal end
local number = redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
if ARGV[3] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return number
""",
)
