"""``python -m benchmarks.clock``: see `benchmarks.clock.main`."""

import sys

from benchmarks.clock.main import main

sys.exit(main())
