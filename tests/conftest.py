"""What holds for every test: one thread, set before torch is imported, for here and for spawned processes.

The models are so small that a second thread only waits, and bit-for-bit comparisons want one order of summation.
"""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
# fitted encoders of the tests go to a folder of this test run, not to the user's
os.environ["TIMELOOM_CACHE"] = tempfile.mkdtemp(prefix="timeloom-cache-")
