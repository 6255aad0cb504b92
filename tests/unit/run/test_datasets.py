"""Shards by the verbs, written and trained on; and what is kept of large sets, as the command line tells it."""

import json
import os

import numpy as np
import pytest
from PIL import Image

import visus
from tests.helpers import class_folders, encoded
from tests.trees import Named, put, voc
from visus.cli.main import main
from visus.data.cache.folder import ABOUT, open_place, pixels_folder
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


def test_suspect_boxes_are_drawn(tmp_path):
    def orange(said: dict[str, list[Named]]) -> int:
        place = tmp_path / f"{len(said)}"
        voc(place / "in", said)
        grey = encoded(np.linspace(0, 255, 40 * 30 * 3).astype(np.uint8).reshape(30, 40, 3))
        for name in said:
            put(place / f"in/JPEGImages/{name}.png", grey)
        assert main(["data", "check", str(place / "in"), "--out", str(place / "out")]) == 0
        drawn = np.asarray(Image.open(place / "out/suspects.png").convert("RGB")).astype(int)
        return int((np.abs(drawn - (0xD5, 0x5E, 0x00)).sum(-1) < 90).sum())

    doubled = [("cat", (5, 5, 20, 20)), ("cat", (5, 5, 20, 21)), ("dog", (25, 5, 35, 20))]
    assert orange({"a": doubled}) > 100
    assert orange({"a": doubled[1:], "b": doubled[1:]}) == 0  # the same image twice, whose boxes are as they should be


def test_the_shown_classes_of_boxes_are_counted_and_drawn(tmp_path, capsys):
    voc(tmp_path / "in", {"a": [("cat", (5, 5, 20, 20)), ("cat", (5, 15, 20, 20))], "b": [("dog", (25, 5, 35, 20))]})
    assert main(["data", "show", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert next(each for each in events if each["event"] == "data")["counts"] == {"train": [2, 1]}
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["classes.png", "samples.png"]
    assert main(["data", "show", str(tmp_path / "in"), "--set", "data.target=mask"]) == 2
    assert "no image has mask" in capsys.readouterr().err


def made(name: str) -> None:
    about = {"where": name, "files": name, "placing": {"size": [224, 192]}}
    kept = open_place(pixels_folder(), about, 4, 10**6, 10**9)
    kept.close()
    os.utime(kept.path / ABOUT, (1e9, 1e9))  # 2001


def told(capsys, *words: str) -> str:
    assert main(["data", "cache", *words]) == 0
    return capsys.readouterr().out


def test_what_is_kept_is_listed_and_removed(capsys):
    assert "nothing is kept" in told(capsys)
    made("/photos")
    made("/drawings")
    text = told(capsys)
    assert "/photos" in text
    assert "224×192" in text
    assert "0 of 4" in text
    assert "2001-09-" in text
    events = [json.loads(line) for line in told(capsys, "--json").splitlines()]
    assert sorted(each["where"] for each in events) == ["/drawings", "/photos"]
    assert events[0]["bytes"] == 4 * (10**6 + 32)
    (pixels_folder().parent / "digests").mkdir()
    assert "0.0 GB of decoded images removed" in told(capsys, "--clear")
    assert "nothing is kept" in told(capsys)
    assert not (pixels_folder().parent / "digests").exists()


def test_what_is_in_use_stays(capsys):
    about = {"where": "/photos", "files": "", "placing": {"size": [2, 2]}}
    kept = open_place(pixels_folder(), about, 4, 12, 10**9)
    assert "/photos" in told(capsys, "--clear")
    assert "in use" in told(capsys)
    kept.close()


def test_a_folder_that_cannot_be_used_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("VISUS_CACHE", str(tmp_path / "file"))
    assert main(["data", "cache", "--clear"]) == 2
    assert "VISUS_CACHE" in capsys.readouterr().err
