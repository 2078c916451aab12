"""Parts of the product that are installed only where they are wanted: extras, in pip's word."""

from importlib.util import find_spec

from unisono.core.errors import UserError


def need_extra(extra: str, *packages: str) -> None:
    """UserError that says what to type unless all ``packages`` are there; none is loaded."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise UserError(
            f"not installed here: {', '.join(missing)}. Type pip install 'unisono[{extra}]'"
        )
