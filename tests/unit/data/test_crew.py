"""Workers place what threads place; one that dies is started again, and what kills it is found. FAULTS 26, 27, 32, 36.

What kills a worker is planted in its start (`sitecustomize`): files are read there that say what to do.
"""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import encoded, pixels
from visus.data.crew import Crew
from visus.data.image import decode
from visus.data.loader import Streamed
from visus.data.preprocess import ImagePreprocess
from visus.data.samples import FileSamples, OnDisk
from visus.data.source import Resources
from visus.data.types import Schema, Target
from visus.errors import TrainingError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no workers on this system")

PREPROCESS = ImagePreprocess(size=(8, 9))
PLANTED = """
import os, signal, sys
if sys.argv[0] == "-m":
    import visus.data.image as image
    whole, leaked = image.decode, []
    def decode(data, name):
        kind = name.split("-")[0]
        if kind.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, kind))
        if kind.startswith("once") and not os.path.exists(name_of(kind)):
            open(name_of(kind), "w").close()
            os.kill(os.getpid(), getattr(signal, kind[4:]))
        if kind == "exit":
            raise AttributeError("a mistake in the program")
        if kind == "leak":
            leaked.append(b"x" * (1 << 17))
        return whole(data, name)
    def name_of(kind):
        return os.path.join(os.environ["VISUS_TEST"], kind)
    image.decode = decode
"""


@pytest.fixture
def planted(tmp_path, monkeypatch):
    folder = tmp_path / "planted"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("VISUS_TEST", str(tmp_path))


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """One for the tests in which none is harmed."""
    found = Crew(PREPROCESS, 2)
    yield found
    found.close()


def files(folder: Path, *names: str) -> list[OnDisk]:
    found = []
    for row, name in enumerate(names):
        data = b"no image" if name.startswith("broken") else encoded(pixels(row, 10 + row, 12))
        (folder / name).write_bytes(data)
        found.append(OnDisk(folder / name, name, len(data)))
    return found


def good(folder: Path, count: int) -> list[OnDisk]:
    return files(folder, *(f"good-{row}.png" for row in range(count)))


def placed(crew: Crew, some: list[OnDisk]) -> tuple[list[object], np.ndarray]:
    out = np.zeros((len(some), *PREPROCESS.shape), np.uint8)
    return list(crew.place(some, list(out))), out


def assert_placed(some: list[OnDisk], answers: list[object], out: np.ndarray) -> None:
    """Each file's pixels, or a cause."""
    for file, answer, found in zip(some, answers, out, strict=True):
        if not isinstance(answer, str):
            want = decode(file.path.read_bytes()).pixels
            assert answer == want.shape[:2]
            assert np.array_equal(found, PREPROCESS.place(want).numpy())


def test_they_place_what_is_placed_here(crew, tmp_path):
    some = [*good(tmp_path, 30), *files(tmp_path, "broken-1.png")]
    answers, out = placed(crew, some)
    assert_placed(some, answers, out)
    assert [answer for answer in answers if isinstance(answer, str)] == ["isn't an image: it is text"]
    assert len(crew.processes) == 2


def test_a_stream_with_workers_is_the_stream_without(crew, tmp_path):
    some = [*good(tmp_path, 9), *files(tmp_path, "broken-1.png", "last.png")]
    samples = FileSamples(some, [Target(label=row) for row in range(11)])
    schema = Schema(labels=tuple("abcdefghijk"))
    streams = [Streamed(samples, schema, PREPROCESS, 0.1, Resources(crew=each)) for each in (crew, None)]
    one, other = (stream.gather(torch.tensor([10, 3, 9, 0])) for stream in streams)
    assert one.rows.tolist() == other.rows.tolist() == [10, 3, 0]
    assert torch.equal(one.inputs, other.inputs)
    assert torch.equal(one.target.label, other.target.label)
    assert streams[0].skipped == streams[1].skipped


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_fault_36_nothing_of_it_lies_in_dev_shm(crew, tmp_path, monkeypatch):
    placed(crew, good(tmp_path, 4))
    for process in crew.processes:
        assert "/dev/shm/" not in Path(f"/proc/{process}/maps").read_text()
    monkeypatch.delattr(os, "memfd_create")
    other = Crew(PREPROCESS, 1)
    some = good(tmp_path, 3)
    assert_placed(some, *placed(other, some))
    other.close()


def rss(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_their_memory_is_flat(tmp_path, planted):
    """300 images after the first 100: a leak of 128 KB an image, as one of a decoder's buffers, would be 38 MB."""
    crew = Crew(PREPROCESS, 1)
    grown = {}
    for kind in ("good", "leak"):
        some = files(tmp_path, *(f"{kind}-{row}.png" for row in range(100)))
        placed(crew, some)
        (process,) = crew.processes
        before = rss(process)
        for _ in range(3):
            placed(crew, some)
        assert crew.processes == [process]
        grown[kind] = rss(process) - before
    assert grown["good"] < 8 << 20
    assert grown["leak"] > 30 << 20  # it would be seen
    crew.close()


def test_fault_26_a_worker_that_was_killed_is_replaced(tmp_path, planted):
    crew = Crew(PREPROCESS, 1)
    some = [*good(tmp_path, 5), *files(tmp_path, "onceSIGKILL-1.png", "last.png")]
    assert_placed(some, *placed(crew, some))  # killed at work
    assert (tmp_path / "onceSIGKILL").exists()
    (before,) = crew.processes
    os.kill(before, signal.SIGKILL)
    assert_placed(some, *placed(crew, some))  # killed while it waits
    assert before not in crew.processes
    crew.close()


def test_fault_26_a_worker_that_is_killed_again_ends_it_and_the_cause_is_named(tmp_path, planted):
    crew = Crew(PREPROCESS, 1)
    with pytest.raises(TrainingError, match=r"SIGKILL.*probably memory is out") as raised:
        placed(crew, [*good(tmp_path, 2), *files(tmp_path, "SIGKILL-1.png")])
    assert "runtime.workers" in raised.value.remedy
    crew.close()


def test_fault_27_a_file_that_crashes_workers_is_found_and_left_out(tmp_path, planted):
    """And one at which a worker crashes once is placed."""
    crew = Crew(PREPROCESS, 1)
    some = [*good(tmp_path, 3), *files(tmp_path, "onceSIGABRT-1.png", "b.png", "SIGSEGV-1.png", "last.png")]
    answers, out = placed(crew, some)
    assert_placed(some, answers, out)
    assert [answer for answer in answers if isinstance(answer, str)] == ["crashes what decodes it (SIGSEGV)"]
    assert isinstance(answers[5], str)
    before = crew.processes
    assert placed(crew, some)[0] == answers
    assert crew.processes == before  # it isn't tried again
    crew.close()


def test_a_mistake_in_a_worker_is_told(tmp_path, planted):
    crew = Crew(PREPROCESS, 1)
    with pytest.raises(TrainingError, match="ended with status 1: AttributeError: a mistake in the program"):
        placed(crew, files(tmp_path, "exit-1.png"))
    crew.close()


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def gone(processes: list[int]) -> bool:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if not any(alive(process) for process in processes):
            return True
        time.sleep(0.05)
    return False


def test_they_end_with_the_last_who_uses_them(tmp_path):
    crew = Crew(PREPROCESS, 1)
    placed(crew, good(tmp_path, 1))
    processes = crew.processes
    assert len(processes) == 1
    del crew
    gc.collect()
    assert gone(processes)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_fault_32_they_end_with_a_process_that_is_killed(tmp_path):
    good(tmp_path, 2)
    program = (
        "import sys, time; import numpy as np; from pathlib import Path\n"
        "from visus.data.crew import Crew; from visus.data.preprocess import ImagePreprocess\n"
        "from visus.data.samples import OnDisk\n"
        "path = Path(sys.argv[1]); preprocess = ImagePreprocess(size=(8, 9)); crew = Crew(preprocess, 1)\n"
        "crew.place([OnDisk(path, 'a', path.stat().st_size)], [np.zeros(preprocess.shape, np.uint8)])\n"
        "print(*crew.processes, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "good-1.png")], stdout=subprocess.PIPE
    ) as process:
        processes = [int(each) for each in process.stdout.readline().split()]
        assert len(processes) == 1
        assert alive(processes[0])
        process.kill()
    assert gone(processes)
