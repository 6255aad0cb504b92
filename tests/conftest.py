"""For all tests."""

import matplotlib
from hypothesis import settings

matplotlib.use("agg")
settings.register_profile("visus", deadline=None, derandomize=True, print_blob=True)  # no time is asserted anywhere
settings.load_profile("visus")
