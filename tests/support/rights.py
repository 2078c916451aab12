"""What this process may do."""

import os
from pathlib import Path

_CAP_SYS_ADMIN = 21  # linux/capability.h; what making a network namespace takes


def can_make_namespaces() -> bool:
    """Whether we are root, and not the root of a container that may do little."""
    if os.geteuid() != 0:
        return False
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    return False
