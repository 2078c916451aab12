"""A device for tests of the control plane: it obeys, and notices when it is told nonsense."""

from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.control_plane import ADMIN, as_device

SITE = "lobby"


@dataclass
class Told:
    """What the devices of a site have been told, together: it may never be unsaid."""

    commands: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    masters: dict[tuple[str, int], str] = field(default_factory=dict)


@dataclass
class Screen:
    """A device: what it holds, and what it has been told."""

    name: str
    bearer: str = ""
    on: bool = True
    boot: int = 1
    session_id: str = ""
    term: int = 0
    revision: int = 0
    master: str = ""
    acked: set[str] = field(default_factory=set)
    waiting: list[str] = field(default_factory=list)  # obeyed, and not acknowledged yet
    # Of the queues of telemetry of its present life at the site: up to where they were taken over.
    life: int = 0
    delivered: dict[str, int] = field(default_factory=dict)
    before: int = 0  # items that were taken over in its former lives
    spent: str = ""  # the bearer that was revoked last

    @property
    def revoked(self) -> bool:
        """Whether it was revoked, or never enrolled."""
        return not self.bearer

    def forget(self) -> None:
        """It has lost its state: it may be told once more what it has acknowledged."""
        self.session_id, self.term, self.revision = "", 0, 0
        self.waiting, self.acked = [], set()

    def _body(self, beat_lost: bool) -> dict[str, Any]:
        return {
            "address": "10.0.0.1", "beacon_port": 7600, "probe_port": 7601,
            "session_id": self.session_id, "term": self.term, "revision": self.revision,
            "mode": "" if beat_lost else "lan", "beat_lost": beat_lost, "interval_s": 5.0,
            "boot_id": f"boot-{self.boot}",
        }  # fmt: skip

    async def enrol(self, http: httpx.AsyncClient) -> None:
        """Join the site, if it is no device of it; what was kept of it before is gone."""
        made = await http.post(f"/v1/sites/{SITE}/enroll-tokens", json={}, headers=ADMIN)
        body = {"token": made.json()["tokens"][0], "device_id": self.name}
        reply = await http.post("/v1/device/enroll", json=body)
        assert reply.status_code in (201, 409), reply.text
        if reply.status_code == 201:
            self.bearer = f"{self.name}.{reply.json()['secret']}"
            self.life += 1

    async def revoke(self, http: httpx.AsyncClient) -> None:
        """An administrator's call."""
        reply = await http.delete(f"/v1/sites/{SITE}/devices/{self.name}", headers=ADMIN)
        assert reply.status_code in (200, 404, 503), reply.text
        if reply.status_code == 200:
            self.spent, self.bearer = self.bearer, ""
            self.before += sum(self.delivered.values())
            self.delivered = {}

    async def _ask(
        self, http: httpx.AsyncClient, method: str, path: str, codes: tuple[int, ...], **sent: Any
    ) -> httpx.Response:
        """A call; it is refused if the device is revoked before it settles, and only then."""
        bearer, begun_revoked = self.bearer or self.spent, self.revoked
        reply = await http.request(method, path, headers=as_device(bearer), **sent)
        if begun_revoked:
            assert reply.status_code in (401, 429), reply.text
        elif bearer == self.bearer:
            assert reply.status_code in (*codes, 503), reply.text
        else:
            assert reply.status_code in (401, 503), reply.text
        return reply

    async def heartbeat(self, http: httpx.AsyncClient, beat_lost: bool = False) -> None:
        """Say where it is and what it holds."""
        body = self._body(beat_lost and bool(self.session_id))
        await self._ask(http, "POST", "/v1/device/heartbeat", (200,), json=body)

    async def report(self, http: httpx.AsyncClient, queue: str, fresh: int, again: int) -> None:
        """Deliver ``fresh`` new items of telemetry, after ``again`` that were delivered before."""
        queue = f"{queue}-{self.life}"
        seq = self.delivered.get(queue, 0)
        items = [
            {"seq": seq, "at_ms": 0, "event": "fault", "detail": f"{queue} {seq}"}
            for seq in range(max(1, seq + 1 - again), seq + fresh + 1)
        ]
        body = {"queue": queue, "items": items}
        reply = await self._ask(http, "POST", "/v1/device/telemetry", (200,), json=body)
        if reply.status_code == 200:
            taken = reply.json()["delivered_seq"]
            assert taken >= seq + fresh
            self.delivered[queue] = max(taken, self.delivered.get(queue, 0))

    async def poll(self, http: httpx.AsyncClient, told: Told) -> None:
        """Fetch what waits and obey, in order; late copies do nothing."""
        acked = set(self.acked)
        after = {"after": self.revision}
        reply = await self._ask(http, "GET", "/v1/device/commands", (200,), params=after)
        seqs = [command["seq"] for command in reply.json().get("commands", ())]
        assert seqs == sorted(seqs)
        for command in reply.json().get("commands", ()):
            name = command["command_id"]
            assert name not in acked, "it was acknowledged before this poll began"
            said = (command["kind"], command["seq"], command["session_id"], command["term"])
            assert told.commands.setdefault(f"{self.name} {name}", said) == said
            if command["seq"] <= self.revision:
                continue  # a late copy of a reply
            prepare = command["kind"] == "SYNC_PREPARE"
            if prepare and command["session_id"] == self.session_id:
                assert command["term"] >= self.term
            self.session_id = command["session_id"] if prepare else ""
            self.term = command["term"] if prepare else 0
            self.revision = command["seq"]
            if prepare:
                self.master = command["session"]["master_device_id"]
                term = (self.session_id, self.term)
                assert told.masters.setdefault(term, self.master) == self.master
            self.waiting.append(name)

    async def ack(self, http: httpx.AsyncClient, done: bool = True) -> None:
        """Say how the newest command ended that it has not said it of."""
        name = self.waiting[-1]
        body = {"outcome": "done" if done else "failed"}
        path = f"/v1/device/commands/{name}/ack"
        reply = await self._ask(http, "POST", path, (200, 404), json=body)
        if reply.status_code == 200:
            self.acked.add(name)
        if reply.status_code != 503 and name in self.waiting:
            self.waiting.remove(name)
