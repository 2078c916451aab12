"""The ``UNISONO_CONTROL_*`` settings of the control plane, one table."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from unisono.config.table import Value, load, row

PREFIX = "UNISONO_CONTROL_"


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """One value per setting; the field ``host`` is the variable ``UNISONO_CONTROL_HOST``."""

    host: str = row("127.0.0.1", "Address to listen on")
    port: int = row(
        8080, "Port to listen on; 0: a free one, which the log names", low=0, high=65535
    )
    redis_url: str = row(
        "redis://127.0.0.1:6379/0", "Redis: redis://HOST:PORT/N, rediss:// or unix://PATH?db=N"
    )
    redis_timeout_s: float = row(
        1.0, "Longest wait for Redis before a call is answered 503", unit="s", low=0.05, high=30
    )
    redis_cluster: bool = row(False, "The address is one node of a Redis Cluster")
    key_prefix: str = row("unisono", "What the name of every key starts with")
    admin_token: str = row("", "The administrators' bearer token, at least 16 characters; needed")
    operator_token: str = row(
        "", "A bearer token for programs that start and stop sessions; none: accounts only"
    )
    metrics_token: str = row("", "Bearer token that /metrics asks for; none: open to everybody")
    client_address_header: str = row(
        "", "Header in which a proxy says the client's address (its first word); none: no proxy"
    )
    enroll_tokens: str = row(
        "", "One-time enrolment tokens to accept, SITE.RANDOM, separated by commas"
    )
    log_level: str = row("info", "Log level", choices=("debug", "info", "warning", "error"))


def load_control_settings(values: Mapping[str, Value] | None = None) -> ControlSettings:
    """Settings from ``values`` (default: the environment); ConfigError says what is unfit."""
    return load(ControlSettings, PREFIX, os.environ if values is None else values)
