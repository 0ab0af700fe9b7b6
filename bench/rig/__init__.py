"""What the benchmarks share: a load client in a process of its own, real servers, and ratios of interleaved runs."""

from __future__ import annotations

import sys
from pathlib import Path

# The benchmarks are programs, run from anywhere; the makers of data and the servers are those of the tests.
sys.path.insert(0, str(Path(__file__).parents[2]))
