"""Checkpoints. FAULTS 29–31, 33, 35 and 38."""

import errno
import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visus.errors import CheckpointError
from visus.training import checkpoint as module
from visus.training.checkpoint import (
    FORMAT,
    Checkpoint,
    newest,
    random_state,
    read,
    rotate,
    set_random_state,
    write,
)


def made(step: int = 3) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    tensors = {
        "model.weight": torch.randn(3, 4, generator=generator),
        "model.count": torch.tensor(step),
        "model.half": torch.randn(5, generator=generator).bfloat16(),
        "model.mask": torch.tensor([True, False]),
        "model.empty": torch.zeros(0, 3),
        "optimizer0.0.step": torch.tensor(2.0),
        "random.cpu": torch.arange(9, dtype=torch.uint8),
        "model.turned": torch.arange(6.0).reshape(2, 3).T,
    }
    return Checkpoint(tensors, {"step": step, "scores": [0.5, 1e-300], "name": "über", "nothing": None})


def same(one: Checkpoint, other: Checkpoint) -> bool:
    return (
        one.tensors.keys() == other.tensors.keys()
        and all(torch.equal(value, other.tensors[name]) for name, value in one.tensors.items())
        and all(value.dtype == other.tensors[name].dtype for name, value in one.tensors.items())
        and {**one.facts, "format": 0} == {**other.facts, "format": 0}
    )


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / "one.safetensors", made())
    assert same(read(tmp_path / "one.safetensors"), made())
    assert read(tmp_path / "one.safetensors").part("optimizer0") == {"0.step": torch.tensor(2.0)}
    assert [path.name for path in tmp_path.iterdir()] == ["one.safetensors"]


def test_other_programs_can_read_the_tensors(tmp_path):
    write(tmp_path / "one.safetensors", made())
    found = safetensors.torch.load_file(tmp_path / "one.safetensors")
    assert torch.equal(found["model.weight"], made().tensors["model.weight"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_an_error_and_never_other_values(tmp_path, where, bit):
    path = tmp_path / "one.safetensors"
    write(path, made())
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    path.write_bytes(data)
    try:
        found = read(path)
    except CheckpointError as problem:
        assert "one.safetensors" in problem.problem  # noqa: PT017
    else:
        assert same(found, made())  # a byte of the padding, which says nothing


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True))
def test_a_file_that_was_cut_is_an_error(tmp_path, where):
    path = tmp_path / "one.safetensors"
    write(path, made())
    path.write_bytes(path.read_bytes()[: int(where * path.stat().st_size)])
    with pytest.raises(CheckpointError, match="damaged"):
        read(path)


def test_a_missing_file_and_another_kind_of_file_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read(tmp_path / "none.safetensors")
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match="isn't a checkpoint"):
        read(tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=tmp_path.name):
        read(tmp_path)


def test_a_newer_format_is_refused_naming_both(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FORMAT", FORMAT + 6)
    write(tmp_path / "one.safetensors", Checkpoint({}, {"step": 1, "version": "9.8.7"}))
    monkeypatch.undo()
    with pytest.raises(CheckpointError) as raised:
        read(tmp_path / "one.safetensors")
    assert f"format {FORMAT + 6}" in raised.value.problem
    assert "9.8.7" in raised.value.problem
    assert f"up to {FORMAT}" in raised.value.problem
    assert "upgrade" in raised.value.remedy


def test_rotating_keeps_the_last_and_the_one_before(tmp_path):
    for step in (1, 2, 3):
        rotate(tmp_path, made(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.safetensors", "previous.safetensors"]
    assert read(tmp_path / "last.safetensors").facts["step"] == 3
    assert read(tmp_path / "previous.safetensors").facts["step"] == 2


class Killed(BaseException):
    """As if the process had ended there."""


@pytest.mark.parametrize("call", range(1, 12))
def test_a_crash_at_any_call_leaves_a_whole_checkpoint(tmp_path, monkeypatch, call):
    """Each call that changes the disk, in turn, is the first that doesn't happen any more."""
    rotate(tmp_path, made(1))
    rotate(tmp_path, made(2))
    left = [call]

    def dying(real):
        def instead(*args, **kwargs):
            left[0] -= 1
            if left[0] <= 0:
                raise Killed
            return real(*args, **kwargs)

        return instead

    with monkeypatch.context() as patch:
        for owner, name in ((Path, "replace"), (Path, "open"), (Path, "unlink"), (os, "fsync"), (os, "open")):
            patch.setattr(owner, name, dying(getattr(owner, name)))
        try:
            rotate(tmp_path, made(3))
            ended = True
        except Killed:
            ended = False
    found, problems = newest(tmp_path)
    assert found.facts["step"] == 3 if ended else found.facts["step"] in (2, 3)
    assert same(found, made(found.facts["step"]))
    assert problems == ()
    rotate(tmp_path, made(4))  # and it goes on
    assert newest(tmp_path)[0].facts["step"] == 4
    assert read(tmp_path / "previous.safetensors").facts["step"] in (2, 3, 1)


def test_the_crash_test_reaches_the_end(tmp_path, monkeypatch):
    """Rotating makes fewer than 12 such calls: the test above dies at each of them, and at last at none."""
    calls = []
    for owner, name in ((Path, "replace"), (Path, "open"), (Path, "unlink"), (os, "fsync"), (os, "open")):
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args, real=real, **kw: (calls.append(real), real(*args, **kw))[1])
    rotate(tmp_path, made(1))
    rotate(tmp_path, made(2))
    assert 8 <= len(calls) <= 22


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("owner", ["fsync", "open", "replace"])
def test_a_disk_that_takes_no_more_leaves_earlier_files_and_no_others(tmp_path, monkeypatch, number, owner):
    rotate(tmp_path, made(1))
    rotate(tmp_path, made(2))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def failing(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if owner == "fsync" else (Path, owner)), failing)
        with pytest.raises(CheckpointError, match=os.strerror(number).lower()) as raised:
            rotate(tmp_path, made(3))
    assert "intact" in raised.value.remedy
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_rename_that_fails_after_the_new_file_is_written_is_an_error_too(tmp_path, monkeypatch):
    rotate(tmp_path, made(1))
    real, left = Path.replace, [2]

    def failing(*args):
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        with pytest.raises(CheckpointError, match="input/output error"):
            rotate(tmp_path, made(2))
    assert newest(tmp_path)[0].facts["step"] == 2


@pytest.mark.parametrize("years", [-10, 10])
def test_the_newest_is_that_of_the_highest_step_whatever_the_clock_said(tmp_path, years):
    rotate(tmp_path, made(1))
    rotate(tmp_path, made(2))
    last = tmp_path / "last.safetensors"
    then = last.stat().st_mtime + years * 365.25 * 86400
    os.utime(last, (then, then))
    assert newest(tmp_path)[0].facts["step"] == 2


@pytest.mark.parametrize("name", ["new", "last", "previous"])
def test_the_newest_is_that_of_the_highest_step_whatever_its_name(tmp_path, name):
    for each in ("new", "last", "previous"):
        write(tmp_path / f"{each}.safetensors", made(9 if each == name else 1))
    assert newest(tmp_path)[0].facts["step"] == 9


def test_a_damaged_newest_is_passed_over_and_named(tmp_path):
    rotate(tmp_path, made(1))
    rotate(tmp_path, made(2))
    last = tmp_path / "last.safetensors"
    data = bytearray(last.read_bytes())
    data[-1] ^= 1
    last.write_bytes(data)
    found, problems = newest(tmp_path)
    assert same(found, made(1))
    assert len(problems) == 1
    assert "last.safetensors" in problems[0]
    assert "checksum" in problems[0]


def test_no_checkpoint_at_all_is_an_error_that_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="none yet"):
        newest(tmp_path)
    (tmp_path / "last.safetensors").write_bytes(b"rubbish")
    with pytest.raises(CheckpointError, match=r"last\.safetensors"):
        newest(tmp_path)


def test_random_numbers_go_on_where_they_were(tmp_path):
    torch.manual_seed(4)
    torch.rand(3)
    write(tmp_path / "r.safetensors", Checkpoint({f"random.{k}": v for k, v in random_state().items()}, {"step": 0}))
    wanted = torch.rand(5)
    torch.manual_seed(99)
    set_random_state(read(tmp_path / "r.safetensors").part("random"))
    assert torch.equal(torch.rand(5), wanted)


def test_facts_are_plain_json(tmp_path):
    write(tmp_path / "one.safetensors", made())
    with safetensors.safe_open(tmp_path / "one.safetensors", "pt") as file:
        assert json.loads(file.metadata()["visus"])["format"] == FORMAT
