"""What the dashboard is made of: how it is served, its words, its vendored part."""

import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from services.control_plane import errors, pages
from services.control_plane.operators.audit import SITE_EVENTS
from unisono.config.flags import PREFIX, Flags
from unisono.config.table import rows
from unisono.core.event_kinds import EVENT_KINDS
from unisono.core.mode import Mode
from unisono.core.playerstate import PlayerState
from unisono.core.session import Role
from unisono.core.session_state import SessionState
from unisono.state.records import AccountRole

HOME = Path(pages.__file__).parent / "dashboard"
OWN = sorted(HOME.glob("*.js"))
LINE = re.compile(r'^  ("[^"]+"): (".*"),$', re.MULTILINE)


def words(language: str) -> dict[str, str]:
    """The words of a language, by key."""
    text = (HOME / f"words_{language}.js").read_text(encoding="utf-8")
    pairs = [(json.loads(key), json.loads(value)) for key, value in LINE.findall(text)]
    assert len(pairs) == len(dict(pairs)) == text.count('": "') > 200
    return dict(pairs)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app that has the dashboard and nothing else."""
    app = FastAPI(docs_url=None, redoc_url=None)
    errors.install(app)
    pages.install(app)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud") as client:
        yield client


async def test_the_root_leads_to_the_dashboard(http: httpx.AsyncClient) -> None:
    for path in ("/", "/dashboard"):
        reply = await http.get(path)
        assert (reply.status_code, reply.headers["location"]) == (307, "/dashboard/")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "text/html; charset=utf-8"),
        ("main.js", "text/javascript; charset=utf-8"),
        ("dashboard.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        ("flags.json", "application/json"),
        ("vendor/uplot/uPlot.iife.min.js", "text/javascript; charset=utf-8"),
        ("vendor/uplot/LICENSE", "text/plain; charset=utf-8"),
    ],
)
async def test_files_have_their_type_their_tag_and_a_strict_policy(
    http: httpx.AsyncClient, path: str, kind: str
) -> None:
    reply = await http.get(f"/dashboard/{path}")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == kind
    policy = dict(
        part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; ")
    )
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert reply.headers["cache-control"] == "no-cache"
    for tag in (reply.headers["etag"], f'"other", W/{reply.headers["etag"]}'):
        again = await http.get(f"/dashboard/{path}", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
    changed = await http.get(f"/dashboard/{path}", headers={"If-None-Match": '"other"'})
    assert changed.status_code == 200


@pytest.mark.parametrize("path", ["nothing.js", "..%2fsettings.py", "%2e%2e/pages.py", "vendor"])
async def test_nothing_but_the_files_is_served(http: httpx.AsyncClient, path: str) -> None:
    reply = await http.get(f"/dashboard/{path}")
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "not_found"


def test_the_editor_knows_every_flag() -> None:
    table = json.loads(pages.assets()[pages.FLAGS_NAME].content)
    assert [row["name"] for row in table] == [row.name for row in rows(Flags, PREFIX)]
    hz = next(row for row in table if row["name"] == "SYNC_LAN_BEACON_HZ")
    assert (hz["kind"], hz["default"], hz["low"], hz["high"]) == ("float", 20.0, 1, 50)


def test_both_languages_have_the_same_words() -> None:
    english, spanish = words("en"), words("es")
    assert english.keys() == spanish.keys()
    for key in english:
        holes = [sorted(re.findall(r"\{\w+\}", one[key])) for one in (english, spanish)]
        assert holes[0] == holes[1], key
        assert "" not in (english[key], spanish[key]), key


def test_every_word_that_the_page_asks_for_is_there_and_used() -> None:
    known = words("en").keys()
    sources = [path.read_text(encoding="utf-8") for path in OWN if "words_" not in path.name]
    text = "\n".join(sources)
    asked = set(re.findall(r'\bt\(\s*"([^"]+)"', text))
    assert asked <= known, asked - known
    families = {"state", "online", "role", "mode", "player", "clock", "outcome", "account"}
    families |= {"event", "problem", "flag", "tile"}
    loose = {key for key in known if f'"{key}"' not in text and key.split(".")[0] not in families}
    built = re.findall(r"t\(`(\w+)\.(\w*)\$\{", text)
    loose = {key for key in loose if not any(key.startswith(f"{a}.{b}") for a, b in built)}
    assert loose == set()


def test_what_the_api_may_say_has_a_word() -> None:
    said = {
        "state": [*SessionState, "idle"],
        "mode": [*Mode],
        "player": [*PlayerState],
        "role": [*Role],
        "account": [*AccountRole],
        "event": [*EVENT_KINDS, *SITE_EVENTS],
        "flag": [row.name for row in rows(Flags, PREFIX)],
        "outcome": ["done", "failed"],
    }
    wanted = {f"{kind}.{value}" for kind, values in said.items() for value in values}
    assert wanted <= words("en").keys(), wanted - words("en").keys()


def test_the_page_has_nothing_inline_and_calls_nobody_else() -> None:
    page = (HOME / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page)
    for path in [*OWN, HOME / "index.html", HOME / "dashboard.css"]:
        text = path.read_text(encoding="utf-8")
        hosts = set(re.findall(r"https?://[^\s\"'`]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not hosts, f"{path.name}: {hosts}"
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(", text), path.name


def test_every_module_that_is_imported_is_there_and_each_is_imported() -> None:
    imported = {"main.js"}
    for path in OWN:
        imported |= set(re.findall(r'from "\./([^"]+)"', path.read_text(encoding="utf-8")))
    assert imported == {path.name for path in OWN}


def test_the_vendored_chart_is_what_its_note_says() -> None:
    vendored = HOME / "vendor" / "uplot"
    note = (vendored / "VERSION").read_text(encoding="utf-8")
    lines = re.findall(r"^([0-9a-f]{64})  (.+)$", note, re.MULTILINE)
    sums = {name: digest for digest, name in lines}
    assert sums.keys() == {p.name for p in vendored.iterdir()} - {"VERSION"}
    for name, digest in sums.items():
        assert hashlib.sha256((vendored / name).read_bytes()).hexdigest() == digest
