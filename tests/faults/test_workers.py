"""A run with workers: a file that goes while it trains is listed, and SIGTERM ends all in order. FAULTS 11 and 32."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import class_folders
from visus.training.checkpoint import newest

PROGRAM = """
import sys
from visus.cli.main import main
from visus.data import loader
loader.free_memory = lambda: 0  # so that images are read as they are needed
sys.exit(main(sys.argv[1:]))
"""
WORDS = (
    "train", "photos", "--model", "mlp", "--epochs", "100000", "--batch", "8", "--device", "cpu", "--run", "run",
    "--set", "runtime.workers=2", "--set", "data.bad=0.2",
)  # fmt: skip


def until(what: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not what():
        assert process.poll() is None, "the run has ended"
        assert time.monotonic() < end
        time.sleep(0.05)


def children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task").glob("*/children")
    return [int(each) for file in found for each in file.read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_run_with_workers(tmp_path):
    class_folders(tmp_path / "photos", {"a": 20, "b": 20})
    run = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *WORDS], cwd=tmp_path, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            until((run / "checkpoints" / "last.safetensors").exists, process)
            workers = children(process.pid)
            assert len(workers) == 2
            before = len((run / "log.txt").read_text())
            (tmp_path / "photos" / "a" / "3.png").unlink()
            until((run / "bad_files.csv").exists, process)
            assert "a/3.png,no such file" in (run / "bad_files.csv").read_text()
            until(lambda: len((run / "log.txt").read_text()) > before + 500, process)  # it goes on
            os.killpg(process.pid, signal.SIGTERM)  # as batch systems do: to all of them
            assert process.wait(60) == 75
            assert b"visus resume" in process.stderr.read()
        finally:
            process.kill()
    found, problems = newest(run / "checkpoints")
    assert found.facts["step"] > 0
    assert problems == ()
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
