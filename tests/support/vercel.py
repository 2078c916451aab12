"""The function as Vercel builds and runs it: its own Python, its bundle, the platform's runtime.

The tests make the environment in `build/` when they first need it, which takes a package index;
``python -m tests.support.vercel`` does the same ahead of them.
"""

import asyncio
import contextlib
import functools
import hashlib
import json
import os
import re
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
# What the platform puts into each bundle. It is no requirement of ours, so it is locked here.
RUNTIME = (
    "vercel-runtime==0.24.1 "
    "--hash=sha256:74ad58f550e8e4079945b3e278fed62270703befe9b97bf91ab919e3bc22f226"
)
NEWEST_MINOR = 14  # of Python, on the platform
VENDOR = "_vendor"
START_S = 30
# What the platform's builder leaves out of every Python bundle, by the name of a folder.
NEVER_BUNDLED = {".git", ".vercel", "node_modules", ".venv", "venv", "__pycache__", "public"}


def requirements() -> list[str]:
    """What the function's own project asks for."""
    wanted: list[str] = _project()["dependencies"]
    return wanted


def oldest_python() -> tuple[int, int]:
    """The oldest Python, major and minor, that the function's own project takes."""
    said = _project()["requires-python"]
    found = re.fullmatch(r">=(\d+)\.(\d+)", said)
    assert found is not None, f"requires-python is {said}: this check reads >=MAJOR.MINOR only"
    return int(found[1]), int(found[2])


def _project() -> dict[str, Any]:
    text = (ROOT_DIRECTORY / "pyproject.toml").read_text("utf-8")
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project


def locked() -> str:
    """The requirements of the environment with their hashes, which are those of the repository."""
    lock = (REPOSITORY / "requirements.txt").read_text("utf-8")
    return "".join([*(_lines_of(requirement, lock) for requirement in requirements()), RUNTIME])


def _lines_of(requirement: str, lock: str) -> str:
    lines = rf"^{re.escape(requirement)} \\\n(?: +--hash=\S+(?: \\)?\n)+"
    found = re.search(lines, lock, re.MULTILINE)
    if found is None:
        raise SystemExit(
            f"deploy/vercel/pyproject.toml asks for {requirement}, which requirements.txt has not: "
            "give it the version that stands there"
        )
    return found[0]


def ensure_venv() -> Path:
    """The interpreter of the function's environment, made when it is missing or outdated.

    SystemExit with one sentence where no Python is new enough.
    """
    python, made, lock = VENV / "bin" / "python", VENV / ".made", locked()
    want = hashlib.sha256(f"{oldest_python()}\n{lock}".encode()).hexdigest()
    if python.exists() and made.exists() and made.read_text("utf-8") == want:
        return python
    base = newer_python()
    if base is None:
        raise SystemExit(
            f"the check of the Vercel function needs Python {'.'.join(map(str, oldest_python()))} "
            "or newer, with its venv module: "
            "install one (Debian 13: apt-get install python3 python3-venv)"
        )
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([base, "-m", "venv", VENV], check=True)
    listed = VENV / "requirements.txt"
    listed.write_text(lock, "utf-8")
    pip = [str(python), "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", listed], check=True)
    made.write_text(want, "utf-8")
    return python


@functools.cache
def newer_python() -> str | None:
    """An interpreter that the function's own project takes; None: there is none here."""
    test = f"import sys, ensurepip, venv; sys.exit(sys.version_info < {oldest_python()})"
    for candidate in _candidates():
        with contextlib.suppress(OSError):
            asked = subprocess.run([candidate, "-c", test], check=False, capture_output=True)
            if asked.returncode == 0:
                return candidate
    return None


def _candidates() -> Iterator[str]:
    # The oldest first: the platform's choice is its default, 3.12, wherever the project takes it.
    names = [f"python3.{minor}" for minor in range(oldest_python()[1], NEWEST_MINOR + 1)]
    yield from (found for name in names if (found := shutil.which(name)))
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from (str(python) for python in sorted(installed.glob("3.1[2-9]*/bin/python")))
    yield from (sys.executable, "python3", "/usr/bin/python3")


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
