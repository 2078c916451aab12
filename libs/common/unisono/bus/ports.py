"""What a bus offers, whatever it is made of, and the parts that both kinds share.

A message is two frames: the topic's name, and the message in msgpack. What cannot be decoded is
counted and dropped: a process of another version must not stop this one.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, Protocol, Self

import msgspec

from unisono.bus.topics import TOPICS, Owner, Topic

# Messages kept for a consumer that is busy; then the oldest go. 50 s of the fastest topic.
BACKLOG: Final = 256

_TOPIC_BY_NAME: Final = {topic.name.encode(): topic for topic in TOPICS}
_DECODERS: Final = {topic: msgspec.msgpack.Decoder(topic.message) for topic in TOPICS}
_ENCODER: Final = msgspec.msgpack.Encoder()


def encode(topic: Topic, message: Any) -> tuple[bytes, bytes]:
    """The two frames of a message; TypeError when it is not the topic's type."""
    if not isinstance(message, topic.message):
        raise TypeError(f"topic {topic.name} carries {topic.message.__name__}")
    return topic.name.encode(), _ENCODER.encode(message)


class Publisher(ABC):
    """Publishes the topics of one owner. The last message of each is kept for `repeat`."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._last: dict[Topic, tuple[bytes, bytes]] = {}
        self._sent_at: dict[Topic, float] = {}

    def publish(self, topic: Topic, message: Any) -> None:
        """Send to whoever listens; never waits. ValueError for a topic of another owner."""
        if topic.owner is not self._owner:
            raise ValueError(f"topic {topic.name} belongs to {topic.owner}, not to {self._owner}")
        frames = encode(topic, message)
        self._last[topic] = frames
        self._sent_at[topic] = asyncio.get_running_loop().time()
        self._send(frames)

    def repeat(self) -> None:
        """Send again each topic's last message that is older than the topic's ``repeat_s``.

        To be called about once a second by owners of topics published on change only.
        """
        now = asyncio.get_running_loop().time()
        for topic, frames in self._last.items():
            if now - self._sent_at[topic] >= topic.repeat_s * 0.9:
                self._sent_at[topic] = now
                self._send(frames)

    @abstractmethod
    def _send(self, frames: tuple[bytes, bytes]) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Stop, and remove the socket."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Subscriber(ABC):
    """Receives some topics; one consumer. Messages wait undecoded, at most ``BACKLOG`` of them."""

    def __init__(self, topics: Iterable[Topic]) -> None:
        self._topics = frozenset(topics)
        self._waiting: deque[tuple[Topic, bytes]] = deque(maxlen=BACKLOG)
        self._arrived = asyncio.Event()
        self.undecodable: Counter[str] = Counter()  # by topic name

    async def receive(self) -> tuple[Topic, Any]:
        """The next message, in order."""
        while True:
            while self._waiting:
                topic, body = self._waiting.popleft()
                if (message := self._decode(topic, body)) is not None:
                    return topic, message
            self._arrived.clear()
            await self._arrived.wait()

    async def newest(self) -> dict[Topic, Any]:
        """Wait for at least one message, then the newest of each topic; older ones are skipped."""
        while True:
            bodies = dict(self._waiting)
            self._waiting.clear()
            decoded = {topic: self._decode(topic, body) for topic, body in bodies.items()}
            if found := {topic: m for topic, m in decoded.items() if m is not None}:
                return found
            self._arrived.clear()
            await self._arrived.wait()

    async def __aiter__(self) -> AsyncIterator[tuple[Topic, Any]]:
        while True:
            yield await self.receive()

    def arrive(self, frames: list[bytes]) -> None:
        """Take one message off the wire."""
        topic = _TOPIC_BY_NAME.get(frames[0])
        if topic is None or len(frames) != 2:
            self.undecodable["?"] += 1
        elif topic in self._topics:
            self._waiting.append((topic, frames[1]))
            self._arrived.set()

    def _decode(self, topic: Topic, body: bytes) -> Any:
        try:
            return _DECODERS[topic].decode(body)
        except (msgspec.DecodeError, msgspec.ValidationError, OverflowError):
            self.undecodable[topic.name] += 1
            return None

    @abstractmethod
    def close(self) -> None:
        """Stop listening."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AnyBus(Protocol):
    """Where publishers and subscribers come from."""

    def publisher(self, owner: Owner) -> Publisher:
        """A publisher of ``owner``'s topics; UserError while another one holds them."""
        ...

    def subscriber(self, topics: Iterable[Topic], *, every_s: float | None = None) -> Subscriber:
        """A subscriber to ``topics``, of any owners; their publishers may come later, and again.

        ``every_s``: messages may come in batches, that far apart.
        """
        ...

    def close(self) -> None:
        """Close everything that came from here."""
        ...
