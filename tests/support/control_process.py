"""A control plane in a process of its own, as the commands that people type meet it."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

ADMIN_TOKEN = "administrators-token-of-a-test"
OPERATOR_TOKEN = "operator-token-of-a-test"
START_S = 20


@contextlib.contextmanager
def control_process(redis_url: str, log_path: Path) -> Iterator[str]:
    """Its address, once it answers; its log goes to ``log_path``."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "services.control_plane.main", "--port", str(port)]
    command += ["--redis-url", redis_url]
    tokens = {"OPERATOR": OPERATOR_TOKEN, "ADMIN": ADMIN_TOKEN}
    environment = {f"UNISONO_CONTROL_{role}_TOKEN": text for role, text in tokens.items()}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, env=environment | {"PATH": "/usr/bin"}, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline_s = time.monotonic() + START_S
        while not _answers(url):
            if time.monotonic() > deadline_s or process.poll() is not None:
                raise AssertionError(f"no control plane: {log_path.read_text(errors='replace')}")
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).is_success
    except httpx.HTTPError:
        return False
