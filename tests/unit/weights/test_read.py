"""Which file is read, and what a file is that isn't one of weights."""

import os
import socket

import pytest
import safetensors.torch

from tests.unit.weights.made import assert_same, noise, refused, written
from visus.weights.formats import read_weights

TENSORS = {"head.weight": noise(1, 3, 2)}


@pytest.mark.parametrize("place", ["", "model"])
def test_bundles_and_runs(tmp_path, place):
    folder = tmp_path / "run" / place
    folder.mkdir(parents=True)
    safetensors.torch.save_file(TENSORS, folder / "model.safetensors")
    stored = read_weights(str(tmp_path / "run"))
    assert stored.path == folder / "model.safetensors"
    assert_same(stored, TENSORS)


@pytest.mark.parametrize("name", ["weights.pth", "weights.h5", "weights.onnx", "weights", "two\nlines.zip"])
def test_the_name_does_not_matter(tmp_path, name):
    safetensors.torch.save_file(TENSORS, tmp_path / name)
    assert read_weights(tmp_path / name).format == "safetensors"


OTHERS = {
    "is empty": b"",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "is a web page": b"\n<!DOCTYPE html><title>404</title>",
    "isn't a file of weights": b"\x93NUMPY\1\0",
    "a text": b"a",
}


@pytest.mark.parametrize("cause", OTHERS)
def test_other_files(tmp_path, cause):
    refused(written(tmp_path / "weights.pth", OTHERS[cause]), "isn't a file" if cause == "a text" else cause)


def test_what_is_no_file(tmp_path):
    refused(tmp_path / "absent.pth", "no such file")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "a folder without model.safetensors")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such files")
def test_what_could_block(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    refused(tmp_path / "fifo", "fifo isn't a regular file")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s"))
        refused(tmp_path / "s", "s: ")


def test_no_permission(tmp_path):
    path = written(tmp_path / "a", b"x")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    refused(path, "permission denied")
