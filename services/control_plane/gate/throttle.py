"""How often anybody may call: counted in Redis, in windows of time, for all instances together."""

from dataclasses import dataclass

from services.control_plane.context import Context
from services.control_plane.errors import ApiError
from unisono.state.documents import NO_SITE


@dataclass(frozen=True, slots=True)
class Limit:
    """So many calls of one who in each window; ``code`` and ``message`` say so when it is over."""

    name: str
    calls: int
    window_ms: int
    code: str = "rate_limited"
    message: str = "too many calls"


# A dashboard that shows a busy site asks a few times a second.
ACCOUNT = Limit("account", 300, 10_000)
# Whoever shows no credentials, or wrong ones, has little to ask.
ADDRESS = Limit("address", 60, 60_000)
_TRIES = "too many tries to log in"
# Generous to somebody who mistypes, and no way to guess: 2880 passwords a day. By name and address
# together, so that nobody can keep the owner of a name out from elsewhere.
LOGIN_PAIR = Limit("login-pair", 10, 300_000, "too_many_tries", _TRIES)
# Several people may share an address.
LOGIN_ADDRESS = Limit("login-address", 30, 300_000, "too_many_tries", _TRIES)
# From however many addresses: it takes ten of them to use this up.
LOGIN_NAME = Limit("login-name", 100, 300_000, "too_many_tries", _TRIES)
# Of one login, for its own password: whoever guesses at the name elsewhere is no hindrance.
OWN_PASSWORD = Limit("own-password", 10, 300_000, "too_many_tries", "too many wrong passwords")


async def count(context: Context, limit: Limit, who: str) -> None:
    """Count one call of ``who``. `ApiError` 429 when that is more than the limit allows."""
    now_ms = context.now_ms()
    window = now_ms // limit.window_ms
    so_far = await context.store.bump(NO_SITE, f"{limit.name} {who}", window, limit.window_ms)
    if so_far <= limit.calls:
        return
    wait_s = -(-(limit.window_ms - now_ms % limit.window_ms) // 1000)
    raise ApiError(
        429,
        limit.code,
        f"{limit.message}: come back in {wait_s} s",
        {"Retry-After": str(wait_s)},
    )
