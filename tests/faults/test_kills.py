"""A run that is killed at random moments loses the steps since its last checkpoint, and nothing else. FAULT 29."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 1000 if os.environ.get("VISUS_SLOW") else 25  # in each of two programs


def killed(folder: Path, kills: int, seed: int, *more: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.kills", str(folder), str(kills), str(seed), *more],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_but_steps_is_lost(seed, tmp_path):
    found = killed(tmp_path, KILLS, seed)
    assert found["kills"] == KILLS
    assert found["advanced"] > KILLS // 10  # so many at least met a run at work
    assert (found["backwards"], found["unreadable"], found["equal"]) == (0, 0, True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_planted_bug_is_caught(tmp_path):
    found = killed(tmp_path, 10, 0, "--bug")
    assert found["backwards"] + found["unreadable"] > 0
