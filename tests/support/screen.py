"""A device for tests of the control plane: it obeys, and notices when it is told nonsense."""

from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.control_plane import as_device


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

    def forget(self) -> None:
        """It has lost its state."""
        self.session_id, self.term, self.revision = "", 0, 0
        self.waiting = []

    def _body(self, beat_lost: bool) -> dict[str, Any]:
        return {
            "address": "10.0.0.1", "beacon_port": 7600, "probe_port": 7601,
            "session_id": self.session_id, "term": self.term, "revision": self.revision,
            "mode": "" if beat_lost else "lan", "beat_lost": beat_lost, "interval_s": 5.0,
            "boot_id": f"boot-{self.boot}",
        }  # fmt: skip

    async def heartbeat(self, http: httpx.AsyncClient, beat_lost: bool = False) -> None:
        """Say where it is and what it holds."""
        body = self._body(beat_lost and bool(self.session_id))
        reply = await http.post("/v1/device/heartbeat", json=body, headers=as_device(self.bearer))
        assert reply.status_code in (200, 503), reply.text

    async def poll(self, http: httpx.AsyncClient, told: Told) -> None:
        """Fetch what waits and obey, in order; late copies do nothing."""
        acked = set(self.acked)
        after = {"after": self.revision}
        reply = await http.get("/v1/device/commands", params=after, headers=as_device(self.bearer))
        assert reply.status_code in (200, 503), reply.text
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
        reply = await http.post(path, json=body, headers=as_device(self.bearer))
        assert reply.status_code in (200, 404, 503), reply.text
        if reply.status_code == 200:
            self.acked.add(name)
        if reply.status_code != 503 and name in self.waiting:
            self.waiting.remove(name)
