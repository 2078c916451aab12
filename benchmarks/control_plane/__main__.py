"""Run it."""

import sys

from benchmarks.control_plane.main import main

sys.exit(main())
