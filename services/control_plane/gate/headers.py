"""Security headers on every answer, as ASGI middleware. What a route has set itself stays."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.control_plane.gate.client import is_https
from services.control_plane.settings import ControlSettings

ALWAYS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "object-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
# Two years, as the browsers' preload list asks for.
OVER_HTTPS = {"Strict-Transport-Security": "max-age=63072000"}


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """As ASGI has them: every call pays for this middleware, so they are made once."""
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


_ALWAYS = _raw(ALWAYS)
_BOTH = _raw(ALWAYS | OVER_HTTPS)


class SecurityHeaders:
    """Adds the headers of this module; it must be the outermost middleware."""

    def __init__(self, app: ASGIApp, settings: ControlSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wanted = _BOTH if is_https(scope, self._settings) else _ALWAYS

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                there = {name for name, _ in headers}
                headers += [pair for pair in wanted if pair[0] not in there]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, dressed)
