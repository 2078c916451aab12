"""Who may call what, as one table: it is what lets callers in, and what `docs/roles.md` shows.

``python -m services.control_plane.gate.roles`` prints that page. A route that is not in the table
is open to nobody.
"""

import sys
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a caller can be; each row of the table names all who may, there is no order."""

    NOBODY = "nobody"
    DEVICE = "device"
    OPERATOR = "operator"
    ADMIN = "admin"


class Scope(StrEnum):
    """Which part of the world a call touches, and so for whom of a role it is."""

    ALL = "all"  # nothing that belongs to a site
    OWN = "own"  # the caller's own device or account
    SITE = "site"  # one site: operators need it among theirs
    SITES = "sites"  # what is shown is cut down to the caller's sites


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. ``route`` is the route's name, ``success`` the status of its usual answer."""

    route: str
    method: str
    path: str
    success: int
    who: frozenset[Role]
    scope: Scope
    what: str


_EVERYBODY = frozenset(Role)
_DEVICE = frozenset({Role.DEVICE})
_OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})
_ADMINS = frozenset({Role.ADMIN})


def _site(route: str, method: str, path: str, success: int, what: str) -> Rule:
    return Rule(route, method, path, success, _OPERATORS, Scope.SITE, what)


def _admin(route: str, method: str, path: str, success: int, what: str) -> Rule:
    scope = Scope.SITE if "{site}" in path else Scope.ALL
    return Rule(route, method, path, success, _ADMINS, scope, what)


def _device(route: str, method: str, path: str, what: str) -> Rule:
    return Rule(route, method, path, 200, _DEVICE, Scope.OWN, what)


_PUBLIC = (
    Rule("enroll", "POST", "/v1/device/enroll", 201, _EVERYBODY, Scope.ALL,
         "enrol a device; needs a one-time token of the site"),
    Rule("login", "POST", "/v1/login", 200, _EVERYBODY, Scope.ALL,
         "log in; needs an account's name and password"),
    Rule("healthz", "GET", "/healthz", 200, _EVERYBODY, Scope.ALL, "whether it works"),
    Rule("metrics", "GET", "/metrics", 200, _EVERYBODY, Scope.ALL,
         "figures for Prometheus; with a `METRICS_TOKEN` set: that token and the "
         "operator's and administrator's only"),
)  # fmt: skip
_DEVICES = (
    _device("heartbeat", "POST", "/v1/device/heartbeat", "device heartbeat"),
    _device("status", "POST", "/v1/sync/status/runtime", "sync status runtime"),
    _device("commands", "GET", "/v1/device/commands", "device commands, poll"),
    _device("ack", "POST", "/v1/device/commands/{command_id}/ack", "device commands, ack"),
    _device("telemetry", "POST", "/v1/device/telemetry", "deliver telemetry"),
    _device("rotate", "POST", "/v1/device/rotate", "fetch a new secret"),
)
_OWN = (
    Rule("me", "GET", "/v1/me", 200, _OPERATORS, Scope.OWN, "who is logged in"),
    Rule("logout", "POST", "/v1/logout", 200, _OPERATORS, Scope.OWN, "log out"),
    Rule("change-password", "POST", "/v1/me/password", 200, _OPERATORS, Scope.OWN,
         "change one's own password"),
)  # fmt: skip
_SITES = (
    Rule("sites", "GET", "/v1/sites", 200, _OPERATORS, Scope.SITES, "list the sites"),
    _site("site", "GET", "/v1/sites/{site}", 200, "show a site, its devices and sessions"),
    _site("drift", "GET", "/v1/sites/{site}/drift", 200, "the drift of its devices of late"),
    _site("events", "GET", "/v1/sites/{site}/events", 200, "what happened there"),
    _site("site-sessions", "GET", "/v1/sites/{site}/sessions", 200, "its sessions, old ones too"),
    _site("kpis", "GET", "/v1/sites/{site}/kpis", 200, "its days in figures"),
    _site("device-telemetry", "GET", "/v1/sites/{site}/devices/{device_id}/telemetry", 200,
          "what a device has delivered"),
    _site("flags", "GET", "/v1/sites/{site}/flags", 200, "show the flags"),
    _site("change-flags", "PATCH", "/v1/sites/{site}/flags", 200, "change flags"),
    _site("create-session", "POST", "/v1/sessions", 201, "start a session"),
    _site("session", "GET", "/v1/sessions/{session_id}", 200, "show a session"),
    _site("stop-session", "POST", "/v1/sessions/{session_id}/stop", 200, "stop a session"),
    _site("change-master", "POST", "/v1/sessions/{session_id}/master", 200, "move the lead"),
)  # fmt: skip
_ADMINISTRATION = (
    _admin("enroll-tokens", "POST", "/v1/sites/{site}/enroll-tokens", 201,
           "make enrolment tokens, and by the first of them the site"),
    _admin("ask-rotation", "POST", "/v1/sites/{site}/devices/{device_id}/rotate", 200,
           "have a device fetch a new secret"),
    _admin("revoke", "DELETE", "/v1/sites/{site}/devices/{device_id}", 200,
           "revoke a device"),
    _admin("accounts", "GET", "/v1/accounts", 200, "list the accounts"),
    _admin("create-account", "POST", "/v1/accounts", 201, "create an account"),
    _admin("change-account", "PATCH", "/v1/accounts/{name}", 200, "change an account"),
    _admin("remove-account", "DELETE", "/v1/accounts/{name}", 200, "remove an account"),
    _admin("account-events", "GET", "/v1/events", 200,
           "what happened to accounts and who logged in"),
)  # fmt: skip

TABLE: tuple[Rule, ...] = (*_PUBLIC, *_DEVICES, *_OWN, *_SITES, *_ADMINISTRATION)
# What devices call, as against people and their programs.
DEVICE_ROUTES = frozenset({"enroll", *(rule.route for rule in _DEVICES)})
_BY_ROUTE = {rule.route: rule for rule in TABLE}


def rule_of(route: str) -> Rule:
    """The row of a route. KeyError when it has none: such a route must not be served."""
    return _BY_ROUTE[route]


def page() -> str:
    """`docs/roles.md`."""
    lines = [
        "# Who may call what",
        "",
        "Written by `make docs` from the table that callers are let in by",
        "(`services/control_plane/gate/roles.py`). *Own* is the caller's own device or account,",
        "*its sites* those that the account is for (all, if it names none). An administrator has",
        "every site. The page of the dashboard and its files are open to everybody: they hold no",
        "secret.",
        "",
        "| call | what | nobody | device | operator | admin |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_line(rule) for rule in TABLE]
    return "\n".join(lines) + "\n"


def _line(rule: Rule) -> str:
    cells = " | ".join(_cell(rule, role) for role in Role)
    return f"| `{rule.method} {rule.path}` | {rule.what} | {cells} |"


def _cell(rule: Rule, role: Role) -> str:
    if role not in rule.who:
        return "no"
    if rule.scope is Scope.OWN:
        return "own"
    if role is Role.OPERATOR and rule.scope in (Scope.SITE, Scope.SITES):
        return "its sites"
    return "yes"


if __name__ == "__main__":
    sys.stdout.write(page())
