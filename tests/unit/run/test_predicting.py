"""Predictions to a file: in order, each once, whatever is killed and however many share the work."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import visus
from tests.helpers import class_folders, encoded, pixels
from tests.predictors import REGRESS, SIZES, TAGS, each_kind, fusion, network
from visus.data.open import open_dataset
from visus.data.sharding import write_shards
from visus.errors import RunError, SpecError, UnreadableImage
from visus.prediction import save
from visus.run import predicting
from visus.run.inputs import find_inputs
from visus.run.predicting import predict_to

COUNT = 30


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(predicting, "LEAST", 4)
    monkeypatch.setenv("VISUS_CACHE", str(tmp_path_factory.mktemp("cache")))
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def photos(tmp_path):
    """30 images, of which two can't be read."""
    root = class_folders(tmp_path / "photos", {"a": COUNT - 2})
    (root / "a" / "5b.png").write_bytes(b"no image")
    (root / "a" / "11b.png").write_bytes(encoded(pixels(1))[:60])
    return root


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def beside(path: Path) -> set[str]:
    return {each.name.removeprefix(path.name) for each in path.parent.iterdir() if path.name in each.name}


def test_what_the_predictor_says_in_order(photos, tmp_path):
    predictor, to = network(), tmp_path / "new folder" / "said.jsonl"
    found = predict_to(predictor, [photos], to, batch=3)
    files = [photos / "a" / f"{number}.png" for number in range(COUNT - 2)]
    want = [prediction.row() for prediction in predictor(files)]
    got = rows_of(to)
    assert [row["file"] for row in got] == [str(file) for file in files]
    assert [row["label"] for row in got] == [row["label"] for row in want]
    np.testing.assert_allclose([row["confidence"] for row in got], [row["confidence"] for row in want], rtol=1e-5)
    assert (found.path, found.predictions, found.unreadable, found.done) == (to, COUNT - 2, 2, COUNT)
    assert found.rate > 0
    header, *bad = csv.reader(found.bad_files.read_text().splitlines())
    assert header == ["file", "cause"]
    assert [file for file, _ in bad] == [str(photos / "a" / "5b.png"), str(photos / "a" / "11b.png")]
    assert bad[0][1] == "isn't an image: it is text"
    assert bad[1][1].startswith("is damaged")
    assert beside(to) == {"", ".done.json", ".unreadable.csv"}


def test_done_again_it_does_nothing(photos, tmp_path, monkeypatch):
    first = predict_to(network(), [photos], tmp_path / "said.jsonl")
    before = (tmp_path / "said.jsonl").read_bytes()
    monkeypatch.setattr(predicting, "answers", lambda *_: pytest.fail("it was done already"))
    again = predict_to(network(), [photos], tmp_path / "said.jsonl")
    assert (again.predictions, again.unreadable, again.bad_files) == (28, 2, first.bad_files)
    assert (again.done, again.rate) == (0, None)
    assert (tmp_path / "said.jsonl").read_bytes() == before


def test_csv_and_parquet_hold_the_same(photos, tmp_path):
    from pyarrow import parquet

    for schema, task in ((TAGS, None), (SIZES, REGRESS), (network().schema, None)):
        predictor, folder = network(schema=schema, task=task), tmp_path / "-".join(schema.targets)
        for ending in ("jsonl", "csv", "parquet"):
            predict_to(predictor, [photos], folder / f"said.{ending}")
        want = rows_of(folder / "said.jsonl")
        with (folder / "said.csv").open(newline="") as file:
            for row, known in zip(csv.DictReader(file), want, strict=True):
                assert row.keys() == known.keys()
                for name, value in known.items():
                    cell = row[name]
                    assert value == {dict: json.loads, list: lambda text: text.split("|") if text else []}.get(
                        type(value), type(value)
                    )(cell)
        table = parquet.read_table(folder / "said.parquet").to_pylist()
        assert [{key: dict(value) if key == "top" else value for key, value in row.items()} for row in table] == want


def test_nothing_readable_is_an_empty_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    for ending in ("jsonl", "csv", "parquet"):
        found = predict_to(network(), [tmp_path / "a.png", tmp_path / "b.png"], tmp_path / f"said.{ending}")
        assert (found.predictions, found.unreadable) == (0, 2)
        assert "b.png,no such file" in found.bad_files.read_text()
    assert (tmp_path / "said.csv").read_text() == "file\n"


def test_shards_archives_and_files_in_one_list(tmp_path):
    photos = class_folders(tmp_path / "photos", {"a": 5, "b": 5})
    write_shards(open_dataset(photos), tmp_path / "shards", count=4)
    shutil.make_archive(str(tmp_path / "packed"), "zip", photos)
    one = photos / "a" / "3.png"
    predict_to(network(), [tmp_path / "shards", tmp_path / "packed.zip", one], tmp_path / "said.jsonl")
    said = {row["file"]: row["confidence"] for row in rows_of(tmp_path / "said.jsonl")}
    assert len(said) == 21
    assert str(one) in said
    sharded = next(value for name, value in said.items() if "shards/train-" in name and name.endswith("a_3.png"))
    np.testing.assert_allclose([sharded, said[str(tmp_path / "packed.zip/a/3.png")]], said[str(one)], rtol=1e-5)
    names = [name for name, _ in visus.predict(network(), [tmp_path / "shards" / "train-000001.tar"])]
    assert len(names) == 4
    assert all(name.startswith(str(tmp_path / "shards" / "train-000001.tar") + "/0") for name in names)


def test_rows_of_tables(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b,c,d\n" + "\n".join(f"{at},1,2,3" for at in range(9)))
    predictor = each_kind()["a network of vectors"]
    predict_to(predictor, [tmp_path / "rows.csv"], tmp_path / "said.jsonl")
    want = predictor([np.array([at, 1, 2, 3], np.float32) for at in range(9)])
    got = rows_of(tmp_path / "said.jsonl")
    assert [row["file"].rpartition(":")[2] for row in got] == [str(at) for at in range(2, 11)]
    np.testing.assert_allclose([row["confidence"] for row in got], [each.confidence for each in want], rtol=1e-5)


# --- what doesn't fit


def test_another_model_other_inputs_and_other_files_are_refused(photos, tmp_path):
    to = tmp_path / "said.jsonl"
    predict_to(network(), [photos], to)
    before = to.read_bytes()
    with pytest.raises(RunError, match="there is a result of another model"):
        predict_to(network(1), [photos], to)
    (photos / "a" / "3.png").write_bytes(encoded(pixels(999)))
    with pytest.raises(RunError, match="of other inputs, or of inputs that have changed") as caught:
        predict_to(network(), [photos], to)
    assert "--overwrite" in caught.value.remedy
    assert to.read_bytes() == before
    predict_to(network(1), [photos], to, overwrite=True)
    assert to.read_bytes() != before
    assert beside(to) == {"", ".done.json", ".unreadable.csv"}
    to.write_text("mine")
    with pytest.raises(RunError, match=r"said\.jsonl: is there already"):
        predict_to(network(1), [photos], to)
    assert to.read_text() == "mine"
    (photos / "a" / "5b.png").unlink()
    (photos / "a" / "11b.png").unlink()
    predict_to(network(1), [photos], to, overwrite=True)
    assert beside(to) == {"", ".done.json"}  # no list of what can be read now


def test_half_a_result_of_another_model_is_refused_too(photos, tmp_path):
    to = tmp_path / "said.jsonl"
    half = predict_to(network(), [photos], to, rank=0, ranks=2)
    assert (half.predictions, half.done) == (None, 16)
    assert not to.exists()
    with pytest.raises(RunError, match="there is half-way a result of another model"):
        predict_to(network(1), [photos], to)
    predict_to(network(1), [photos], to, overwrite=True)
    assert beside(to) == {"", ".done.json", ".unreadable.csv"}


def test_the_weights_of_any_kind_of_predictor_count(tmp_path):
    digests = [each.digest() for each in each_kind().values()]
    assert len(set(digests)) == len(digests)
    assert [each.digest() for each in each_kind().values()] == digests
    assert fusion(network(), network(1)).digest() != fusion(network(), network(2)).digest()
    changed = network()
    next(changed.model.parameters()).data[0] += 1e-3
    assert changed.digest() != network().digest()


def test_what_can_be_refused_is_refused_before_the_work(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(predicting, "answers", lambda *_: pytest.fail("work was begun"))
    with pytest.raises(SpecError, match=r"said\.txt: predictions are written as \.jsonl, \.csv, \.parquet"):
        predict_to(network(), [photos], tmp_path / "said.txt")
    with pytest.raises(SpecError, match="batch can't be 0"):
        predict_to(network(), [photos], tmp_path / "said.csv", batch=0)
    with pytest.raises(SpecError, match="rank 2 of 2 can't be"):
        predict_to(network(), [photos], tmp_path / "said.csv", rank=2, ranks=2)
    with pytest.raises(SpecError, match="belong together"):
        predict_to(network(), [photos], tmp_path / "said.csv", rank=0)
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(SpecError, match="RANK=first"):
        predict_to(network(), [photos], tmp_path / "said.csv")
    monkeypatch.delenv("RANK")
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="can't be written"):
        predict_to(network(), [photos], tmp_path / "file" / "said.csv")


def test_a_piece_that_lost_lines_is_told(photos, tmp_path):
    to = tmp_path / "said.jsonl"
    predict_to(network(), [photos], to, rank=0, ranks=2)
    piece = next(tmp_path.glob("said.jsonl.parts-*")) / "00000002.jsonl"
    piece.write_bytes(piece.read_bytes()[:-1].rpartition(b"\n")[0])
    with pytest.raises(RunError, match=r"00000002\.jsonl: holds 3 lines of 4"):
        predict_to(network(), [photos], to, rank=1, ranks=2)
    piece.unlink()
    assert predict_to(network(), [photos], to).done == 4


# --- several processes, and kills


@pytest.mark.parametrize("ranks", [2, 3, 4, 20])
def test_any_number_of_shares_gives_the_same_file(photos, tmp_path, ranks):
    predict_to(network(), [photos], tmp_path / "one.jsonl")
    order = random.Random(ranks).sample(range(ranks), ranks)
    shares = [predict_to(network(), [photos], tmp_path / "said.jsonl", rank=rank, ranks=ranks) for rank in order]
    assert sum(share.done for share in shares) == COUNT
    assert shares[-1].predictions == COUNT - 2
    assert (tmp_path / "said.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert beside(tmp_path / "said.jsonl") == beside(tmp_path / "one.jsonl")


def forked(*jobs) -> list[int]:
    """The jobs at the same time, each in a process of its own; how each ended."""
    children = []
    for job in jobs:
        child = os.fork()
        if not child:
            code = 1
            try:
                job()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    return [os.waitpid(child, 0)[1] for child in children]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_that_finish_at_the_same_time_join_once_or_twice_to_the_same(photos, tmp_path):
    predictor = network()
    predict_to(predictor, [photos], tmp_path / "one.csv")
    for attempt in range(6):
        to = tmp_path / f"{attempt}.csv"
        share = [lambda rank=rank, to=to: predict_to(predictor, [photos], to, rank=rank, ranks=3) for rank in range(3)]
        assert forked(*share, share[0]) == [0] * 4  # one of them twice
        assert to.read_bytes() == (tmp_path / "one.csv").read_bytes()
        assert {name for name in beside(to) if ".tmp" not in name} == {"", ".done.json", ".unreadable.csv"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("ranks", [1, 2])
def test_killed_at_any_moment_it_goes_on(photos, tmp_path, ranks):
    """SIGKILL at a random file operation of a process, again and again, until all have come to their end."""
    predictor, to, chance, kills = network(), tmp_path / "said.jsonl", random.Random(ranks), 0
    predict_to(predictor, [photos], tmp_path / "one.jsonl")
    for _ in range(80):
        whole = to.read_bytes() if to.exists() else None
        assert whole in (None, (tmp_path / "one.jsonl").read_bytes())  # never a part of it

        def job(rank, left):
            _die_after(left)
            predict_to(predictor, [photos], to, rank=rank, ranks=ranks)

        left = [chance.randrange(1, 16) for _ in range(ranks)]
        ends = forked(*(lambda rank=rank, left=left: job(rank, left[rank]) for rank in range(ranks)))
        assert all(os.WIFSIGNALED(end) or end == 0 for end in ends)
        kills += sum(map(os.WIFSIGNALED, ends))
        if not any(ends):
            break
    assert kills > 2 * ranks
    assert to.read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert {name for name in beside(to) if ".tmp" not in name} == {"", ".done.json", ".unreadable.csv"}


def _die_after(operations: int) -> None:
    """Kill this process at so many-th of its calls that change files."""
    count = 0

    def counted(function):
        def call(*arguments, **options):
            nonlocal count
            count += 1
            if count >= operations:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    os.fsync = counted(os.fsync)
    Path.replace = counted(Path.replace)
    shutil.rmtree = counted(shutil.rmtree)


def test_the_command_under_torchrun_and_again(photos, tmp_path):
    """Two processes with RANK and WORLD_SIZE, as torchrun starts them: no process group is made."""
    save(tmp_path / "model", network(), [pixels(0)])
    words = [
        sys.executable,
        "-m",
        "visus",
        "predict",
        tmp_path / "model",
        photos,
        "--to",
        tmp_path / "said.parquet",
        "--json",
    ]
    told = []
    for rank in (1, 0):
        environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
        done = subprocess.run(words, env=environment, capture_output=True, encoding="utf-8", check=False)
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout.splitlines()[-1]))
    assert told[0]["event"] == "message"
    assert "share 2 of 2 is done" in told[0]["text"]
    assert (told[1]["predictions"], told[1]["unreadable"]) == (COUNT - 2, 2)


# --- inputs


def test_inputs_are_told_apart_by_names_sizes_and_times(photos, tmp_path):
    schema = network().schema
    whole = find_inputs([photos], schema)
    assert len(whole) == COUNT
    assert find_inputs([photos], schema).digest() == whole.digest()
    files = [whole.name(number) for number in range(COUNT)]
    assert find_inputs(files[:-1], schema).digest() != find_inputs(files, schema).digest()
    assert find_inputs(files[::-1], schema).digest() != find_inputs(files, schema).digest()
    os.utime(files[3], ns=(1, 1))
    assert find_inputs([photos], schema).digest() != whole.digest()


def test_a_file_that_changes_while_it_waits_is_told(photos):
    found = find_inputs([photos], network().schema)
    Path(found.name(2)).write_bytes(encoded(pixels(1, 30)))
    with pytest.raises(UnreadableImage, match="changed from"):
        found.read(2)


def test_what_is_too_thin_is_told_by_its_name(tmp_path):
    (tmp_path / "thin.png").write_bytes(encoded(pixels(0, 1, 100_000)))
    (tmp_path / "good.png").write_bytes(encoded(pixels(1)))
    found = dict(visus.predict(network(size=(8, 8)), [tmp_path / "thin.png", tmp_path / "good.png"]))
    assert isinstance(found[str(tmp_path / "thin.png")], UnreadableImage)
    assert found[str(tmp_path / "thin.png")].name == str(tmp_path / "thin.png")
    assert found[str(tmp_path / "good.png")].label in network().schema.labels
