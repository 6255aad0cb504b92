"""The cores that this process may use."""

import os

import pytest

from visus import machine

LIMITS = {
    "max 100000\n": 16,
    "200000 100000\n": 2,
    "150000 100000\n": 2,
    "50000 100000\n": 1,
    "9900000 100000": 16,
    "": 16,
}


@pytest.mark.parametrize(("quota", "want"), LIMITS.items())
def test_what_a_container_is_allowed_bounds_them(tmp_path, monkeypatch, quota, want):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)), raising=False)
    monkeypatch.setattr(machine, "QUOTA", tmp_path / "cpu.max")
    assert machine.cores() == 16
    (tmp_path / "cpu.max").write_text(quota)
    assert machine.cores() == want


def test_without_affinity_all_there_are(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    monkeypatch.setattr(machine, "QUOTA", tmp_path / "none")
    assert machine.cores() == 5
