"""Shards by the verbs: written, and trained on."""

import json

import pytest

import visus
from tests.helpers import class_folders
from visus.cli.main import main
from visus.run.watch import Silent


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("VISUS_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_a_run_on_shards_is_that_of_their_samples(tmp_path):
    visus.shard("digits", tmp_path / "out", count=300)
    run = visus.train(
        tmp_path / "out", model="mlp", epochs=2, batch=64, run=tmp_path / "run", device="cpu", watch=Silent()
    )
    assert sum(score.n for name, score in run.scores.items() if name == "accuracy") == round(1797 * 0.2)
    again = visus.evaluate(run.folder)
    assert again.scores["accuracy"] == run.scores["accuracy"]


def test_the_command(tmp_path, capsys):
    photos = class_folders(tmp_path / "photos", {"a": 12, "b": 12})
    (photos / "a" / "bad.png").write_bytes(b"")
    words = ["data", "shard", str(photos), str(tmp_path / "out"), "--count", "10"]
    assert main(words) == 2
    assert "1 of 25 images can't be read, more than 1%" in capsys.readouterr().err
    assert main([*words, "--set", "data.bad=0.1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["splits"] == {"train": {"shards": 3, "samples": 24}}
    assert told["left_out"] == 1
    assert main([*words, "--size", "1MB"]) == 2
    assert "leave one of them out" in capsys.readouterr().err
    assert main([*words[:-2], "--size", "large"]) == 2
    assert "--size large: isn't a size" in capsys.readouterr().err
