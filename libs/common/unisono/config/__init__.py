"""Settings and flags, each one table: name, default, unit, range, meaning."""

from unisono.config.flags import Flags, load_flags
from unisono.config.settings import Settings, load_settings
from unisono.config.table import ConfigError

__all__ = ["ConfigError", "Flags", "Settings", "load_flags", "load_settings"]
