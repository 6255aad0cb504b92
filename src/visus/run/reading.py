"""What a verb may use to read samples."""

from __future__ import annotations

from collections.abc import Mapping

from visus.data.cache.folder import GIGABYTE
from visus.data.preprocess import Placing
from visus.data.samples import Samples
from visus.data.source import Resources, crew_for
from visus.run.recipe import Runtime
from visus.run.watch import Watch


def resources_of(runtime: Runtime, splits: Mapping[str, Samples], placing: Placing, watch: Watch) -> Resources:
    """The room on disk for decoded images, and the processes that decode them, as a run's settings have them."""
    return Resources(int(runtime.cache * GIGABYTE), crew_for(splits, placing, runtime.workers), watch.say)
