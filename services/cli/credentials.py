"""The tokens by which commands are let in; from the environment, where other users see nothing."""

from collections.abc import Mapping, Sequence

# The second ones are what the control plane itself reads: on its machine one variable does both.
OPERATOR_VARIABLES = ("UNISONO_OPERATOR_TOKEN", "UNISONO_CONTROL_OPERATOR_TOKEN")
ADMIN_VARIABLES = ("UNISONO_ADMIN_TOKEN", "UNISONO_CONTROL_ADMIN_TOKEN")


def operator_token(environment: Mapping[str, str]) -> str:
    """The operators' token, or the administrators', who may do the same; "" without either."""
    return _first(environment, OPERATOR_VARIABLES) or admin_token(environment)


def admin_token(environment: Mapping[str, str]) -> str:
    """The administrators' token, "" when neither variable is set."""
    return _first(environment, ADMIN_VARIABLES)


def _first(environment: Mapping[str, str], names: Sequence[str]) -> str:
    return next((text for name in names if (text := environment.get(name))), "")
