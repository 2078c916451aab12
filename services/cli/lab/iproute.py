"""The one caller of `ip`."""

import subprocess

from unisono.runtime import UserError


class LabError(UserError):
    """The lab could not be built, or could not do what it was asked to."""


def ip(*words: str) -> str:
    """What ``ip`` with these words prints; LabError with its complaint when it fails."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip() or f"status {done.returncode}"
        raise LabError(f"ip {' '.join(words)}: {reason}")
    return done.stdout


def ip_in(namespace: str, *words: str) -> str:
    """`ip`, inside ``namespace``."""
    return ip("-n", namespace, *words)
