"""Puts the parts of the repository that the function needs next to `app.py`.

Vercel runs it as the build command of this directory, which is the project's Root Directory; what
lies here afterwards is the bundle. It is a list of what goes in, so that nothing gets in unseen:

    python bundle.py [--into DIRECTORY]
"""

import argparse
import shutil
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]

# Where each part lies in the repository and what it is called in the bundle: files and folders.
PARTS = {
    "libs/common/unisono/__init__.py": "unisono/__init__.py",
    "libs/common/unisono/clock.py": "unisono/clock.py",
    "libs/common/unisono/config": "unisono/config",
    "libs/common/unisono/core": "unisono/core",
    "libs/common/unisono/runtime": "unisono/runtime",
    "libs/common/unisono/state": "unisono/state",
    "libs/common/unisono/wire": "unisono/wire",
    "services/__init__.py": "services/__init__.py",
    "services/control_plane": "services/control_plane",
}
# The platform is the server; entry.py and main.py start one of our own.
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "entry.py", "main.py")


def bundle(into: Path) -> None:
    """Copy every part, and say which version of the product it is."""
    for name in ("unisono", "services"):
        shutil.rmtree(into / name, ignore_errors=True)
    for source, target in PARTS.items():
        to = into / target
        to.parent.mkdir(parents=True, exist_ok=True)
        if (REPOSITORY / source).is_dir():
            shutil.copytree(REPOSITORY / source, to, ignore=_LEFT_OUT)
        else:
            shutil.copyfile(REPOSITORY / source, to)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    name, version = project["name"], project["version"]
    for old in into.glob(f"{name}-*.dist-info"):
        shutil.rmtree(old)
    about = into / f"{name}-{version}.dist-info"
    about.mkdir()
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (about / "METADATA").write_text(text, "utf-8")


def main() -> None:
    """Bundle into the directory asked for, or into this one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--into", type=Path, default=HERE, help="default: where this file lies")
    bundle(parser.parse_args().into)


if __name__ == "__main__":
    main()
