"""placeholder"""
from enum import StrEnum
class Mode(StrEnum):
    """Where a device's timing comes from now."""

    STOPPED = "stopped"
    CLOUD = "cloud"
    LAN = "lan"
    HOLDOVER = "holdover"
