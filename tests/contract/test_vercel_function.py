"""The function as Vercel builds and runs it: what is in the bundle, and that it serves."""

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from services.control_plane.function import settings_of
from tests.support import vercel
from tests.support.control_plane import ADMIN, ADMIN_TOKEN, FILM, ControlPlane
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.python312

# A Python bundle may have twice that on the platform; small bundles start sooner.
MOST_BYTES = 60 * 1024 * 1024
PASSWORD = "a long enough one, 27"
ANA = {"name": "ana", "role": "operator", "password": PASSWORD, "sites": ["lobby"]}


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of the function's environment."""
    return vercel.ensure_venv()


@pytest.fixture(scope="module")
def bundle(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle, built once."""
    into = tmp_path_factory.mktemp("vercel") / "bundle"
    vercel.build(into, python)
    return into


@pytest.fixture
def database(redis_server: RedisServer) -> Iterator[RedisServer]:
    """An empty Redis."""
    redis_server.flush()
    yield redis_server
    redis_server.flush()


def test_bundle_holds_what_it_needs_and_nothing_else(bundle: Path) -> None:
    files = [path.relative_to(bundle) for path in bundle.rglob("*") if path.is_file()]
    files = [file for file in files if "__pycache__" not in file.parts]
    ours = {file for file in files if file.parts[0] != vercel.VENDOR}
    assert {file.parts[0] for file in ours} == {
        "app.py", "services", "unisono", "unisono-0.1.0.dist-info",
    }  # fmt: skip
    folders = {file.parts[:2] for file in ours if len(file.parts) > 2}
    parts = {"config", "core", "runtime", "state", "wire"}
    assert {folder for top, folder in folders if top == "unisono"} == parts
    assert {folder for top, folder in folders if top == "services"} == {"control_plane"}
    assert Path("services/control_plane/dashboard/index.html") in ours
    assert not {"zmq", "uvicorn", "tests"} & {
        file.parts[1] for file in files if len(file.parts) > 2
    }
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    assert size < MOST_BYTES


def test_runs_on_a_python_that_the_functions_project_takes(python: Path) -> None:
    # The oldest that the runtime runs on, and the platform's default: it takes that one then.
    assert vercel.oldest_python() == (3, 12)
    told = [str(python), "-c", "import sys; print(*sys.version_info[:2])"]
    said = subprocess.run(told, check=True, capture_output=True, text=True).stdout
    assert vercel.oldest_python() <= tuple(map(int, said.split())) <= (3, vercel.NEWEST_MINOR)


def test_bundle_has_the_versions_that_are_tested() -> None:
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", _requirements(), re.M))
    for requirement in vercel.requirements():
        name, _, version = requirement.partition("==")
        assert pinned[name] == version


def _requirements() -> str:
    return (vercel.REPOSITORY / "requirements.txt").read_text("utf-8")


async def test_serves_devices_and_operators_through_the_platforms_runtime(
    bundle: Path, python: Path, database: RedisServer, short_dir: Path
) -> None:
    environment = {"REDIS_URL": database.url, "UNISONO_CONTROL_ADMIN_TOKEN": ADMIN_TOKEN}
    async with vercel.running(bundle, python, environment, short_dir) as function:
        # As the platform's proxy says it: who called, and that it was over TLS.
        proxy = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{function.port}", trust_env=False, headers=proxy
        ) as http:
            cloud = ControlPlane(str(http.base_url), http)
            assert (await http.get("/healthz")).json()["status"] == "ok"
            device = await cloud.enrol("screen-1")
            await cloud.beat(device)
            made = await http.post("/v1/accounts", json=ANA, headers=ADMIN)
            assert made.status_code == 201, made.text
            said = await http.post("/v1/login", json={"name": "ana", "password": PASSWORD})
            assert said.status_code == 200, said.text
            assert said.headers["set-cookie"].startswith("__Host-")
            cookie = said.headers["set-cookie"].partition(";")[0]
            as_ana = {"Cookie": cookie, "X-CSRF-Token": said.json()["csrf"]}
            body = {"site": "lobby", "playlist": [FILM], "start_delay_ms": 0}
            session = await http.post("/v1/sessions", json=body, headers=as_ana)
            assert session.status_code == 201, session.text
            (command,) = await cloud.commands(device)
            assert command["session_id"] == session.json()["session_id"]
            assert (await http.get("/metrics")).status_code == 401  # though no token is set for it
            assert (await http.get("/metrics", headers=ADMIN)).is_success
            page = await http.get("/", follow_redirects=True)
            assert page.status_code == 200
            assert page.headers["content-type"].startswith("text/html")
            _hang_up(database)  # as a managed Redis does with connections that were idle for long
            assert (await cloud.beat(device))["session_id"] == session.json()["session_id"]
        ended = [message for message in function.messages if message["type"] == "end"]
        assert len(ended) >= 8  # the platform was told of each invocation


def test_settings_of_ones_own_win_over_what_the_platform_brings() -> None:
    own = {
        "UNISONO_CONTROL_REDIS_URL": "rediss://mine",
        "UNISONO_CONTROL_ADMIN_TOKEN": ADMIN_TOKEN,
        "UNISONO_CONTROL_METRICS_TOKEN": "prometheus-only-0123456789",
        "UNISONO_CONTROL_CLIENT_ADDRESS_HEADER": "x-my-proxy",
    }
    assert settings_of(own | {"REDIS_URL": "rediss://theirs", "PATH": "/bin"}) == own


def _hang_up(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.client_kill_filter(_type="normal", skipme=True)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "UNISONO_CONTROL_REDIS_URL is not set"),
        ({"REDIS_URL": "redis://localhost"}, "UNISONO_CONTROL_ADMIN_TOKEN is not set"),
        ({"REDIS_URL": "localhost", "UNISONO_CONTROL_ADMIN_TOKEN": ADMIN_TOKEN}, "REDIS_URL"),
    ],
)
async def test_says_in_a_sentence_which_setting_is_missing(
    bundle: Path, python: Path, short_dir: Path, environment: dict[str, str], sentence: str
) -> None:
    async with vercel.running(bundle, python, environment, short_dir) as function:
        async with httpx.AsyncClient(trust_env=False) as http:
            reply = await http.get(f"http://127.0.0.1:{function.port}/v1/device/commands")
        assert reply.status_code == 503
        error = reply.json()["error"]
        assert error["code"] == "misconfigured"
        assert sentence in error["message"]
        logged = [m["payload"] for m in function.messages if m["type"] == "log"]
        texts = [base64.b64decode(line["message"]).decode() for line in logged]
        assert texts == [error["message"]]
        assert "Traceback" not in function.output.read_text("utf-8") + json.dumps(texts)
