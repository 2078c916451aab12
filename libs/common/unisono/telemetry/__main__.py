"""``python -m unisono.telemetry``: print the table of metrics (``docs/metrics.md``)."""

import sys

from unisono.telemetry.document import markdown

sys.stdout.write(markdown())
