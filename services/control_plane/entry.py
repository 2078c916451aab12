"""What `unisono-control-plane` starts: says so where the web framework is not installed."""

import logging
import sys

from unisono.runtime import EXIT_USAGE, UserError, set_up_log
from unisono.runtime.extras import need_extra


def main() -> int:
    """Run the control plane; the exit status of the process."""
    try:
        need_extra("control", "fastapi", "uvicorn", "uvloop")
    except UserError as error:
        set_up_log("control-plane")
        logging.getLogger(__name__).error("%s", error)
        return EXIT_USAGE
    from services.control_plane.main import main as serve  # noqa: PLC0415  (loads the framework)

    return serve()


if __name__ == "__main__":
    sys.exit(main())
