"""The routers of everything that operators and administrators call; `app` puts them together."""

from fastapi import APIRouter

from services.control_plane.operators import (
    account_routes,
    device_admin_routes,
    flag_routes,
    login_routes,
    session_routes,
    site_routes,
)

routers: tuple[APIRouter, ...] = (
    login_routes.router,
    account_routes.router,
    site_routes.router,
    session_routes.router,
    flag_routes.router,
    device_admin_routes.router,
)
