"""For all tests."""

import os

import matplotlib
from hypothesis import settings

# The networks of the tests are so small that several threads only wait for one another. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
matplotlib.use("agg")
settings.register_profile("visus", deadline=None, derandomize=True, print_blob=True)  # no time is asserted anywhere
settings.load_profile("visus")
