"""What Vercel loads: the control plane's ``app``, from the packages that `bundle.py` put here."""

from services.control_plane.function import app

__all__ = ["app"]
