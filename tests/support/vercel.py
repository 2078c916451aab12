"""The function as Vercel builds and runs it: its own Python, its bundle, the platform's runtime.

``python -m tests.support.vercel`` makes the environment ahead of the tests (`make setup`).
"""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT_DIRECTORY = REPOSITORY / "deploy" / "vercel"
VENV = REPOSITORY / "build" / "vercel-venv"
RUNTIME = "vercel-runtime==0.24.1"  # what the platform puts into each bundle; Python 3.12 or newer
OLDEST = (3, 12)
NEWEST_MINOR = 14
VENDOR = "_vendor"
START_S = 30
# What the platform's builder leaves out of every Python bundle, by the name of a folder.
NEVER_BUNDLED = {".git", ".vercel", "node_modules", ".venv", "venv", "__pycache__", "public"}


def requirements() -> list[str]:
    """What the function's own project asks for."""
    found = tomllib.loads((ROOT_DIRECTORY / "pyproject.toml").read_text("utf-8"))
    wanted: list[str] = found["project"]["dependencies"]
    return wanted


def ensure_venv() -> Path:
    """The interpreter of the function's environment, made when it is missing or outdated.

    SystemExit with one sentence where no Python is new enough.
    """
    wanted = [*requirements(), RUNTIME]
    python = VENV / "bin" / "python"
    stamp, want = VENV / ".made", hashlib.sha256("\n".join(wanted).encode()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text("utf-8") == want:
        return python
    base = newer_python()
    if base is None:
        raise SystemExit(
            "the check of the Vercel function needs Python 3.12 or newer, with its venv module: "
            "install one (Debian 13: apt-get install python3 python3-venv)"
        )
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([base, "-m", "venv", VENV], check=True)
    pip = [str(python), "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, *wanted], check=True)
    stamp.write_text(want, "utf-8")
    return python


def newer_python() -> str | None:
    """An interpreter that is new enough for the platform's runtime; None: there is none here."""
    for candidate in _candidates():
        test = f"import sys, ensurepip, venv; sys.exit(sys.version_info < {OLDEST})"
        with contextlib.suppress(OSError):
            asked = subprocess.run([candidate, "-c", test], check=False, capture_output=True)
            if asked.returncode == 0:
                return candidate
    return None


def _candidates() -> Iterator[str]:
    yield sys.executable
    names = [f"python3.{minor}" for minor in range(NEWEST_MINOR, OLDEST[1] - 1, -1)]
    yield from (found for name in [*names, "python3"] if (found := shutil.which(name)))
    yield "/usr/bin/python3"
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from (str(python) for python in sorted(installed.glob("3.1[2-9]*/bin/python")))


def build(into: Path, python: Path) -> None:
    """The bundle as the platform's builder makes it of the Root Directory, dependencies and all."""
    work = into.with_name(into.name + ".work")
    # Of a checkout there is what git has: not what an earlier build left behind.
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "."],
        cwd=ROOT_DIRECTORY, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT_DIRECTORY / name, work / name)
    settings = json.loads((ROOT_DIRECTORY / "vercel.json").read_text("utf-8"))
    command = [*settings["buildCommand"].split(), "--into", str(work)]
    assert command[:2] == ["python", "bundle.py"]
    subprocess.run([python, ROOT_DIRECTORY / "bundle.py", *command[2:]], check=True)
    excluded = set(settings["functions"]["app.py"]["excludeFiles"].strip("{}").split(","))
    for path in (path for path in work.rglob("*") if path.is_file()):
        inner = path.relative_to(work)
        if str(inner) in {*excluded, ".gitignore"} or NEVER_BUNDLED & set(inner.parts):
            continue
        (into / inner).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, into / inner)
    packages = next((VENV / "lib").glob("python3.*")) / "site-packages"
    # Compiled as pip left them; the builder compiles all of it, too.
    shutil.copytree(packages, into / VENDOR, ignore=shutil.ignore_patterns("pip", "pip-*"))
    subprocess.run([python, "-m", "compileall", "-q", into, "-x", VENDOR], check=True)


@dataclass
class Function:
    """A started function: where it listens, how long it took, what it said until now."""

    port: int
    init_ms: int
    import_ms: int
    pid: int
    messages: list[dict[str, Any]] = field(default_factory=list)
    output: Path = Path()


@contextlib.asynccontextmanager
async def running(
    bundle: Path, python: Path, environment: dict[str, str], scratch: Path
) -> AsyncIterator[Function]:
    """Start the bundle in Vercel's own runtime, as the platform does: it says over a socket that
    it has started, and is asked over HTTP from then on.
    """
    started: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    messages: list[dict[str, Any]] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                message = json.loads((await reader.readuntil(b"\0"))[:-1])
                messages.append(message)
                if message["type"] in ("server-started", "unrecoverable-error"):
                    started.set_result(message)
        writer.close()

    platform = await asyncio.start_unix_server(hear, scratch / "ipc.sock", limit=2**20)
    handler = bundle / "vc__handler__python.py"
    handler.write_text("import vercel_runtime.vc_init\n", "utf-8")
    variables = {
        "__VC_HANDLER_MODULE_NAME": "app",
        "__VC_HANDLER_ENTRYPOINT": "app.py",
        "__VC_HANDLER_ENTRYPOINT_ABS": str(bundle / "app.py"),
        "__VC_HANDLER_VENDOR_DIR": VENDOR,
        "__VC_HANDLER_VARIABLE_NAME": "app",
        "VERCEL_IPC_PATH": str(scratch / "ipc.sock"),
        "VERCEL": "1",
        "PYTHONPATH": str(bundle / VENDOR),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": "/usr/bin:/bin",
    }
    output = scratch / "function.log"
    with output.open("wb") as log:
        # -S: the venv's own packages are out of reach, only those of the bundle count.
        process = await asyncio.create_subprocess_exec(
            python, "-S", handler, cwd=bundle, env=variables | environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        async with asyncio.timeout(START_S):
            message = await started
        assert message["type"] == "server-started", output.read_text("utf-8")
        said = message["payload"]
        yield Function(
            said["httpPort"], said["initDuration"], said["userInitDuration"],
            process.pid, messages, output,
        )  # fmt: skip
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        platform.close()
        await platform.wait_closed()


def main() -> int:
    """Make the environment; the exit status."""
    ensure_venv()
    return 0


if __name__ == "__main__":
    sys.exit(main())
