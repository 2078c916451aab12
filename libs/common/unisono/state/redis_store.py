"""The store on a Redis-compatible server or cluster."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, TypeVar

from unisono.state.redis_caller import Caller
from unisono.state.scripts import (
    Packed,
    commit_call,
    count_call,
    entries_call,
    read_call,
    watching_call,
)
from unisono.state.store import (
    AddTo,
    Entries,
    Fields,
    Guard,
    Hash,
    Watch,
    Write,
    group_of,
    one_group,
)

# A local server answers within a millisecond; half a second says that it is gone.
TIMEOUT_S = 0.5

Line = TypeVar("Line", Fields, Entries, Write)
Answer = TypeVar("Answer")


class RedisStore:
    """A server at ``redis://HOST:PORT/N``, ``rediss://`` or ``unix://PATH?db=N``.

    With ``cluster`` the URL is that of one node of a Redis Cluster (no unix socket, no ``/N``).
    Connections are made when first needed and made anew after a failure; nothing waits longer
    than about ``timeout_s`` per attempt (see `unisono.state.redis_link` for which there are).
    StateMisconfigured when the URL cannot be understood; it names ``setting``, the variable that
    the URL came from.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float = TIMEOUT_S,
        *,
        setting: str = "UNISONO_REDIS_URL",
        cluster: bool = False,
    ) -> None:
        self._caller = Caller(url, timeout_s, setting=setting, cluster=cluster)

    async def read(self, reads: Sequence[Fields]) -> list[Hash]:
        """The fields of each read, in order."""
        found: list[Hash] = [{} for _ in reads]

        async def look(group: list[tuple[int, Fields]]) -> None:
            packed = _packed(group)
            if packed.keys:
                _unpack(packed, await self._caller.run(read_call(packed), repeatable=True), found)

        await _side_by_side(look(group) for group in _groups(reads))
        return found

    async def read_watching(
        self, reads: Sequence[Fields], watch: Watch
    ) -> tuple[list[Hash], list[Hash] | None]:
        """As `read`, and what ``watch`` asks for; None where its condition does not hold."""
        one_group([watch.key, *(line.key for line in (*reads, *watch.reads))])
        always, further = _packed(enumerate(reads)), _packed(enumerate(watch.reads))
        call = watching_call(always, watch, further)
        replies, further_replies = await self._caller.run(call, repeatable=True)
        found: list[Hash] = [{} for _ in reads]
        _unpack(always, replies, found)
        if further_replies is None:
            return found, None
        watched: list[Hash] = [{} for _ in watch.reads]
        _unpack(further, further_replies, watched)
        return found, watched

    async def entries(self, reads: Sequence[Entries]) -> list[list[tuple[int, bytes]]]:
        """For each read of a log its (time, entry) pairs, newest first."""
        found: list[list[tuple[int, bytes]]] = [[] for _ in reads]

        async def look(group: list[tuple[int, Entries]]) -> None:
            call = entries_call([line for _, line in group])
            replies = await self._caller.run(call, repeatable=True)
            for (place, _), flat in zip(group, replies, strict=True):
                pairs = zip(flat[1::2], flat[::2], strict=True)
                found[place] = [(int(float(score)), entry) for score, entry in pairs]

        await _side_by_side(look(group) for group in _groups(reads))
        return found

    async def write(self, writes: Sequence[Write]) -> None:
        """Apply all, in order."""
        await _side_by_side(
            self._caller.run(commit_call((), [line for _, line in group]), repeatable=False)
            for group in _groups(writes)
        )

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Write]) -> bool:
        """Apply all if every guard holds, as one script on the server."""
        one_group(line.key for line in (*guards, *writes))
        if not guards and not writes:
            return True
        call = commit_call(guards, writes)
        return bool(await self._caller.run(call, repeatable=not writes))

    async def count(self, add: AddTo) -> int:
        """Add, and tell what the number is now."""
        return int(await self._caller.run(count_call(add), repeatable=False))

    async def ping(self) -> None:
        """Return if the server answers (in a cluster: if one does)."""
        await self._caller.ping()

    async def close(self) -> None:
        """Close the connections."""
        await self._caller.close()


def _groups(lines: Sequence[Line]) -> list[list[tuple[int, Line]]]:
    """Lines with their places, those together whose keys lie together."""
    groups: dict[str, list[tuple[int, Line]]] = {}
    for place, line in enumerate(lines):
        groups.setdefault(group_of(line.key), []).append((place, line))
    return list(groups.values())


async def _side_by_side(calls: Iterable[Awaitable[Answer]]) -> None:
    """Wait for all, then raise the first error that there was."""
    several = list(calls)
    if len(several) == 1:
        await several[0]
        return
    for answer in await asyncio.gather(*several, return_exceptions=True):
        if isinstance(answer, BaseException):
            raise answer


def _packed(lines: Iterable[tuple[int, Fields]]) -> Packed:
    packed = Packed()
    for place, line in lines:
        packed.add(place, line)
    return packed


def _unpack(packed: Packed, replies: Sequence[Any], found: list[Hash]) -> None:
    """Put what a script found where it belongs; an absent field is a null in its reply."""
    for (place, names), reply in zip(packed.places, replies, strict=True):
        if names is None:
            flat = iter(reply)
            found[place] = {name.decode(): value for name, value in zip(flat, flat, strict=True)}
        else:
            pairs = zip(names, reply, strict=True)
            found[place].update({name: value for name, value in pairs if value is not None})
