"""The command line in a real process: what a user types, right and wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from tests.libraries import change, library
from visus.models import list_models
from visus.run.pretrained import create_model

ENGLISH = re.compile(r"Traceback|  File ")


def visus(*words: object, cwd: Path, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command; its output, once its exit status is what was expected and no traceback shows."""
    done = subprocess.run(
        [sys.executable, "-m", "visus", *map(str, words)],
        cwd=cwd, env={**os.environ, **environment}, capture_output=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    assert not ENGLISH.search(done.stderr), done.stderr
    return done


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a class folder of digits, and a run trained on it."""
    folder = tmp_path_factory.mktemp("a b é")
    digits = load_digits()
    for index in range(300):
        file = folder / "photos" / f"class {digits.target[index]}" / f"scan {index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[index] * 255 / 16).round().astype(np.uint8)).save(file)
    visus(
        "train", "photos", "--model", "mlp", "--epochs", 12, "--batch", 16, "--lr", 0.01, "--device", "cpu", cwd=folder
    )
    return folder


def test_a_set_is_sharded_and_checked(place: Path, tmp_path: Path) -> None:
    told = visus("data", "shard", "photos", tmp_path / "s", "--size", "64KiB", "--json", cwd=place).stdout.splitlines()
    assert json.loads(told[-1])["splits"]["train"]["samples"] == 300
    visus("data", "check", tmp_path / "s", cwd=tmp_path, VISUS_CACHE=str(tmp_path / "cache"))


def test_a_run_folder_is_complete(place: Path) -> None:
    run = place / "runs" / "photos"
    names = {each.relative_to(run).as_posix() for each in run.rglob("*") if each.is_file()}
    assert names >= {
        "recipe.toml", "environment.json", "metrics.csv", "log.txt", "report.html",
        "checkpoints/last.safetensors", "checkpoints/best.safetensors", "model/model.safetensors", "model/visus.json",
        "plots/curves.png", "plots/confusion.png", "plots/per_class.png", "plots/samples.png", "plots/worst.png",
        "plots/calibration.png",
    }  # fmt: skip
    assert not [name for name in names if name.endswith(".tmp")]
    recipe = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    assert recipe["preprocess"]["size"] == [8, 8]  # the images' own
    assert recipe["task"]["kind"] == "classify"
    rows = (run / "metrics.csv").read_text().splitlines()
    assert len(rows) == 13
    assert "val/accuracy" in rows[0]


class Links(HTMLParser):
    """The addresses that a page would ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_report_is_one_self_contained_file(place: Path) -> None:
    page = Links()
    page.feed((place / "runs" / "photos" / "report.html").read_text(encoding="utf-8"))
    assert page.found
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.found)


def test_evaluate_gives_the_figures_of_the_run(place: Path) -> None:
    shown = json.loads(visus("evaluate", "runs/photos", "--json", cwd=place).stdout.splitlines()[-1])
    manifest = json.loads((place / "runs" / "photos" / "model" / "visus.json").read_text(encoding="utf-8"))
    assert shown["split"] == "test"
    assert shown["scores"]["accuracy"]["value"] == manifest["scores"]["accuracy"]["value"]
    assert shown["scores"]["accuracy"]["n"] == 60  # a fifth of 300
    words = visus("evaluate", "runs/photos", "--out", "pictures", cwd=place).stdout
    assert "95 % interval" in words
    assert (place / "pictures" / "confusion.png").is_file()


def test_evaluate_on_other_data_matches_classes_by_name(place: Path, tmp_path: Path) -> None:
    digits = load_digits()
    for index in range(300, 420):
        name = int(digits.target[index])
        if name in (3, 7):  # two of the ten classes, in another order of numbers
            file = tmp_path / "more" / f"class {name}" / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((digits.images[index] * 255 / 16).round().astype(np.uint8)).save(file)
    done = visus("evaluate", place / "runs" / "photos", "more", "--json", cwd=tmp_path)
    assert json.loads(done.stdout.splitlines()[-1])["scores"]["accuracy"]["value"] > 0.5
    (tmp_path / "more" / "class 3").rename(tmp_path / "more" / "giraffe")
    wrong = visus("evaluate", place / "runs" / "photos", "more", cwd=tmp_path, status=2)
    assert "classes that the model doesn't know: giraffe" in wrong.stderr


def test_predict_files_folders_and_bad_files(place: Path, tmp_path: Path) -> None:
    done = visus("predict", "runs/photos", "photos/class 4", "--json", cwd=place)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(list((place / "photos" / "class 4").iterdir()))
    assert np.mean([row["label"] == "class 4" for row in rows]) > 0.5
    assert all(abs(sum(row["top"].values()) - 1) < 0.5 for row in rows)
    (tmp_path / "bad.png").write_bytes(b"no image")
    good = next((place / "photos" / "class 1").iterdir())
    mixed = visus("predict", "runs/photos", tmp_path / "bad.png", good, "--out", tmp_path / "out", cwd=place, status=2)
    assert "bad.png  can't be read: isn't an image: it is text" in mixed.stdout
    assert "class " in mixed.stdout.splitlines()[1]
    assert "1 of the files can't be read" in mixed.stderr
    assert [each.suffix for each in (tmp_path / "out").iterdir()] == [".png"]


def test_fuse_and_use_what_was_fused(place: Path, tmp_path: Path) -> None:
    visus(
        "train", "photos", "--model", "lenet5", "--epochs", 6, "--batch", 16, "--run", tmp_path / "second",
        "--set", "seed=1", "--set", "data.seed=0", "--device", "cpu", cwd=place,
    )  # fmt: skip
    words = ("fuse", "runs/photos", tmp_path / "second", "--scales", "1,1.25", "--fit", "--out", tmp_path / "both")
    done = visus(*words, "--json", cwd=place)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    val, test = (each for each in events if each["event"] == "fusion")
    names = ["photos", "second", "photos, 2 views", "second, 2 views", "fusion"]
    assert list(val["scores"]) == list(test["scores"]) == names
    assert (val["split"], val["fitted"], test["split"], test["fitted"]) == ("val", True, "test", False)
    losses = [val["scores"][name]["loss"]["value"] for name in names]
    assert losses[-1] <= min(losses[2:4]) + 1e-5
    moved = (tmp_path / "both").rename(place / "runs" / "moved fusion")
    again = json.loads(visus("evaluate", moved, "--json", cwd=place).stdout.splitlines()[-1])
    assert again["scores"]["accuracy"]["value"] == test["scores"]["fusion"]["accuracy"]["value"]
    rows = [
        json.loads(line) for line in visus("predict", moved, "photos/class 4", "--json", cwd=place).stdout.splitlines()
    ]
    assert len(rows) == len(list((place / "photos" / "class 4").iterdir()))
    assert np.mean([row["label"] == "class 4" for row in rows]) > 0.5
    shown = visus("fuse", "runs/photos", moved, "--weights", "1,3", "--out", tmp_path / "more", cwd=place).stdout
    assert re.search(r"^photos +0\.250 +\d", shown, re.MULTILINE)
    assert re.search(r"^moved fusion +0\.750 +\d", shown, re.MULTILINE)
    assert "photos, test" in shown


def test_output_in_a_pipe_is_plain(place: Path) -> None:
    done = visus("models", "lenet*", cwd=place)
    assert "\x1b" not in done.stdout
    assert done.stdout.splitlines()[1].split()[:2] == ["lenet5", "1998"]


def test_models_are_listed_within_bounds_and_in_order(place: Path) -> None:
    done = visus("models", "*resnet*", "--year", "2015..2016", "--error", "..25", "--sort", "error", cwd=place)
    names = [line.split()[0] for line in done.stdout.splitlines()[1:] if "ImageNet" not in line and line]
    assert names.index("wide_resnet50_2") < names.index("resnet152") < names.index("resnet50")
    assert not {"resnet18", "resnet20", "seresnet50"} & set(names)
    assert "compared by their error on ImageNet" in done.stdout


def test_models_as_lines_for_a_program(place: Path) -> None:
    lines = visus("models", "resnet50", "--json", cwd=place).stdout.splitlines()
    (found,) = map(json.loads, lines)
    # counts: torchvision 0.29's network; errors: its weights IMAGENET1K_V1
    assert found == found | {
        "name": "resnet50", "family": "resnet", "year": 2015, "reference": "arXiv:1512.03385",
        "link": "https://arxiv.org/abs/1512.03385", "input": [3, 224, 224], "classes": 1000,
        "parameters": 25_557_032, "multiply_adds": 4_089_184_256, "top1_error": 23.87, "top5_error": 7.138,
        "data": "ImageNet",
    }  # fmt: skip


def test_the_table_of_all_networks_fits_a_terminal(place: Path) -> None:
    rows = visus("models", cwd=place, COLUMNS="80").stdout.splitlines()
    assert max(len(row.rstrip()) for row in rows) <= 80
    table = rows[1 : rows.index("")]
    assert [row.split()[0] for row in table] == list_models()  # no name in two lines


def test_charts_and_drawings_are_files(place: Path, tmp_path: Path) -> None:
    visus("models", "resn*", "--chart", tmp_path / "new" / "cost.png", "--against", "parameters", cwd=place)
    shown = visus("history", "--chart", tmp_path / "history.png", cwd=place).stdout
    assert re.search(r"2012 +AlexNet +SuperVision +16\.4", shown)
    for name in ("new/cost.png", "history.png"):
        with Image.open(tmp_path / name) as chart:
            assert chart.format == "PNG"
            assert chart.width >= 800
    told = visus("summary", "lenet5", "--diagram", tmp_path / "lenet5.svg", "--json", cwd=place).stdout.splitlines()
    assert json.loads(told[-1])["diagram"] == str(tmp_path / "lenet5.svg")
    assert "16×10×10" in (tmp_path / "lenet5.svg").read_text(encoding="utf-8")


def test_a_runs_network_is_drawn_too(place: Path, tmp_path: Path) -> None:
    visus("summary", "runs/photos", "--no-layers", "--diagram", tmp_path / "mine.svg", cwd=place)
    assert "1×8×8" in (tmp_path / "mine.svg").read_text(encoding="utf-8")


def test_an_old_terminal_shows_what_it_can(place: Path) -> None:
    done = visus("summary", "lenet5", cwd=place, PYTHONIOENCODING="ascii:strict")
    assert "60,000 parameters" in done.stdout
    assert "325,680 multiply-adds" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian", "digits"], "train"),
        (["train", "digits", "--modle", "mlp"], "--model"),
        (["train", "digits", "--model", "lenet"], "did you mean lenet5"),
        (["train", "digtis"], "did you mean digits"),
        (["train", "no/such/folder"], "no/such/folder"),
        (["train"], "needs data or a recipe"),
        (["train", "--recipe", "digit"], "did you mean digits"),
        (["train", "digits", "--set", "optim.lrr=1"], "optim.lrr\n  → did you mean lr?"),
        (["train", "digits", "--set", "optim.lr=fast"], "optim.lr is 'fast': expected a number"),
        (["train", "digits", "--set", "optim.kind=adam"], "did you mean adamw?"),
        (["train", "digits", "--set", "optim.lr"], "isn't of the form name.name=value"),
        (["train", "digits", "--epochs", "0"], "budget.epochs is 0"),
        (["train", "digits", "--epochs", "many"], '"many"'),
        (["train", "digits", "--device", "tpu9"], "runtime.device 'tpu9' can't be used"),
        (["train", "digits", "--task", "regress"], "the task needs values"),
        (["train", "digits", "--model", "lenet5", "--size", "8"], "at least 16×16"),
        (["evaluate", "runs/nothing"], "there is no such run or bundle"),
        (["predict", "photos", "x.png"], "isn't a run or a bundle"),
        (["predict", "runs/photos", "photos", "--batch", "0"], "batch can't be 0"),
        (["predict", "runs/photos", "photos", "--out", "photos/class 1/scan 1.png"], "is a file, and a folder"),
        (["evaluate", "runs/photos", "--out", "photos/class 1/scan 1.png"], "is a file, and a folder"),
        (["summary", "resnet50", "--channels", "-1"], "channels can't be -1"),
        (["summary", "resnet50", "--classes", "0"], "classes can't be 0"),
        (["summary", "resnet50", "--size", "0"], "height can't be 0"),
        (["transfer", "photos", "--plan", "linaer"], "did you mean linear?"),
        (["transfer", "photos", "--plan", "stage:-1"], "stages are counted from 0"),
        (["transfer", "photos", "--model", "resnet5"], "resnet50"),
        (["weights", "fetch", "imagenet"], "name it with --model"),
        (["weights", "fetch", "torchvision:resnet50", "--model", "resnet18"], "and the network is resnet18"),
        (["weights", "certify", "torchvision:nope"], "visus weights list names them"),
        (["fuse", "runs/photos", "runs/nothing", "--out", "fused"], "there is no such run or bundle"),
        (["fuse", "runs/photos", "--out", "photos"], "isn't an empty folder"),
        (["fuse", "runs/photos", "--out", "fused", "--weights", "2,1"], "2 weights for 1 members"),
        (["fuse", "runs/photos", "--out", "fused", "--weights", "1", "--fit"], "either given or fitted"),
        (["fuse", "runs/photos", "--out", "fused", "--scales", "1,x"], "for example --scales 1,1.15"),
        (["fuse", "runs/photos", "--out", "fused", "--scales", "9"], "views: scales.0 is 9.0"),
        (["fuse", "runs/photos", "--out", "fused", "--views", "tenn"], "did you mean ten?"),
        (["resume", "runs/nothing"], "there is no such run"),
        (["summary", "resnet5"], "resnet50"),
        (["models", "lenet9*"], "no network's name matches"),
        (["models", "--year", "2015-2016"], "--year 2015-2016: isn't a range"),
        (["models", "--error", "30..20"], "nothing lies between the two\n  → --error 20..30"),
        (["models", "lenet*", "--year", "2010.."], "none is left of the 2 networks that match 'lenet*': --year 2010.."),
        (["models", "--parameters", "10M"], "--parameters ..10M for all up to that"),
        (["models", "--family", "resnt"], "did you mean resnet"),
        (["models", "--data", "cifar"], "did you mean CIFAR-10"),
        (["models", "--sort", "size"], '"size"'),
        (["models", "lenet*", "--chart", "a.png"], "a published error on 'ImageNet'\n  → known: MNIST"),
        (["models", "--chart", "a.jpg"], "a.jpg: it is written as PNG\n  → name it a.png"),
        (["history", "--chart", "photos/class 1/scan 1.png/a.png"], "can't be written"),
        (["summary", "lenet5", "--diagram", "a.png"], "name it a.svg"),
        (["recipes", "digit"], "did you mean digits"),
        (["data", "check", "nowhere"], "nowhere"),
    ],
)  # fmt: skip
def test_mistakes_are_explained(place: Path, words: list[str], says: str) -> None:
    done = visus(*words, cwd=place, status=2)
    assert says in done.stderr
    assert not list(place.glob("runs/digits*"))  # nothing is left behind by what was refused
    assert not (place / "fused").exists()


def test_debug_shows_the_traceback(place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "visus", "train", "digtis", "--debug"],
        cwd=place, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert "Traceback" in done.stderr
    assert "NotFound" in done.stderr


def test_36_works_with_a_home_that_cannot_be_written(place: Path, tmp_path: Path) -> None:
    nowhere = {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent/cache", "MPLCONFIGDIR": "/nonexistent/mpl"}
    visus("train", "digits", "--model", "mlp", "--epochs", 1, "--run", tmp_path / "run", cwd=place, **nowhere)
    assert (tmp_path / "run" / "report.html").is_file()


def test_22_turkish_locale(place: Path) -> None:
    done = visus("predict", "runs/photos", "photos/class 1", cwd=place, LC_ALL="tr_TR.UTF-8", LANG="tr_TR.UTF-8")
    assert "class 1" in done.stdout


def test_a_shown_recipe_can_be_run(place: Path, tmp_path: Path) -> None:
    text = visus("recipes", "digits", cwd=place).stdout
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    done = visus(
        "train", "--recipe", tmp_path / "mine.toml", "--epochs", 1, "--run", tmp_path / "run", "--json", cwd=place
    )
    last = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["event"] for each in last if each["event"] in ("epoch", "scores")] == ["epoch", "scores"]


def test_lr_find_draws_its_curve_and_trains_with_the_rate(tmp_path: Path) -> None:
    visus("train", "digits", "--model", "mlp", "--epochs", 2, "--lr-find", "--run", "run", cwd=tmp_path)
    assert (tmp_path / "run" / "plots" / "rate.png").is_file()
    found = tomllib.loads((tmp_path / "run" / "recipe.toml").read_text())["optim"]["lr"]
    assert 1e-5 < found < 1
    assert f"learning rate: {found:g}" in (tmp_path / "run" / "log.txt").read_text()


def test_data_show_and_check(place: Path, tmp_path: Path) -> None:
    shown = visus("data", "show", "photos", "--out", tmp_path / "show", cwd=place).stdout
    assert "class 0" in shown
    assert (tmp_path / "show" / "samples.png").is_file()
    copy = tmp_path / "data"
    for split, numbers in (("train", range(40)), ("test", range(30, 60))):
        for index in numbers:
            file = copy / split / f"class {index % 2}" / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(file)
    (copy / "train" / "class 0" / "cut.png").write_bytes((copy / "train" / "class 0" / "0.png").read_bytes()[:60])
    done = visus("data", "check", copy, "--out", tmp_path / "found", cwd=place, status=2)
    table = (tmp_path / "found" / "findings.csv").read_text(encoding="utf-8")
    assert "cut.png" in table
    assert table.count("leak") >= 10  # the ten images that lie in both splits
    assert "1 error\n" in done.stderr
    assert (tmp_path / "found" / "suspects.png").is_file()


def test_listings_and_mistyped_names_do_not_wait_for_torch(tmp_path: Path) -> None:
    for words in (
        ["--help"],
        ["models", "--sort", "name"],
        ["history"],
        ["recipes"],
        ["data", "list"],
        ["version"],
        ["train", "--help"],
        ["summary", "rsnet50"],
        ["predict", "photo.jpg"],
        ["transfer", "photos", "--plan", "linaer"],
        ["transfer", "photos", "--model", "rsnet50"],
    ):
        code = (
            "import sys; from visus.cli.main import main; main(sys.argv[1:]);"
            "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
        )
        done = subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, (words, done.stderr)


# Weights from elsewhere, without a network connection.

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "no_proxy": "",
    "https_proxy": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
}


@pytest.fixture(scope="module")
def weights(place: Path) -> Path:
    """A resnet8 on grey images, as a file and as a run."""
    torch.manual_seed(0)
    torch.save(create_model("resnet8", classes=10, channels=1).state_dict(), place / "resnet8.pt")
    visus(
        "train", "photos", "--model", "resnet8", "--weights", "resnet8.pt", "--epochs", 1, "--device", "cpu",
        "--run", "runs/resnet8", cwd=place,
    )  # fmt: skip
    return place


def test_transfer_shows_what_it_gains(weights: Path) -> None:
    done = visus(
        "transfer", "photos", "--model", "resnet8", "--weights", "resnet8.pt", "--set", "budget.epochs=1", "--device",
        "cpu", "--out", "carried", cwd=weights,
    )  # fmt: skip
    assert re.search(r"^plan: \S+, since 210 training images are few, and the set is ", done.stdout, re.M)
    assert "summary: carried" in done.stdout
    assert (weights / "carried" / "curves.png").is_file()
    assert "| scratch | accuracy (test) |" in (weights / "carried" / "transfer.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--weights", "resnet8.pt", "--plan", "linaer"], "did you mean linear"),
        (["--weights", "resnet8.pt", "--plan", "partial:9"], "the network has 4 stages"),
        (["--weights", "nowhere.pt", "--plan", "linear"], "there is no such file"),
        (["--weights", "imagenet", "--plan", "linear"], "no ImageNet weights are known for resnet8"),
    ],
)
def test_transfer_says_what_is_wrong(weights: Path, words: list[str], says: str) -> None:
    done = visus("transfer", "photos", "--model", "resnet8", *words, "--out", "wrong", cwd=weights, status=2)
    assert says in done.stderr
    assert not (weights / "wrong").exists()


def test_features_to_a_file_and_a_map(weights: Path) -> None:
    words = ("features", "photos", "--model", "runs/resnet8", "--device", "cpu")
    done = visus(*words, "--out", "f.csv", "--map", "map.png", "--method", "pca", cwd=weights)
    assert "f.csv: 300 samples, 64 features each" in done.stdout
    assert len((weights / "f.csv").read_text(encoding="utf-8").splitlines()) == 301
    with Image.open(weights / "map.png") as picture:
        assert picture.width > 300
    lines = visus(*words, "--out", "f.npz", "--map", "map.png", "--json", cwd=weights).stdout.splitlines()
    assert {"event": "features", "file": "f.npz", "samples": 300, "features": 64} in map(json.loads, lines)
    assert "are written as" in visus(*words, "--out", "f.xlsx", cwd=weights, status=2).stderr
    wrong = visus(*words, "--out", "g.csv", "--map", "map.jpg", cwd=weights, status=2)
    assert "map.jpg: it is written as PNG" in wrong.stderr
    assert not (weights / "g.csv").exists()  # refused before anything is computed


def test_weights_are_listed_and_not_fetched(weights: Path, tmp_path: Path) -> None:
    rows = [
        json.loads(line) for line in visus("weights", "list", "resnet50", "--json", cwd=weights).stdout.splitlines()
    ]
    assert rows[0]["weights"] == "torchvision:resnet50.v2"
    assert "torchvision:resnet50.v1" in visus("weights", "list", "resnet50", cwd=weights).stdout
    assert "no weights are known" in visus("weights", "list", "resnet8", cwd=weights, status=2).stderr
    done = visus(
        "weights", "fetch", "torchvision:resnet18.v1", cwd=weights, status=2, VISUS_CACHE=str(tmp_path), **OFFLINE
    )
    assert "could not be fetched" in done.stderr
    assert str(tmp_path) in done.stderr  # the place for it


def test_a_file_of_weights_is_looked_into(weights: Path) -> None:
    facts = json.loads(visus("weights", "check", "resnet8.pt", "--json", cwd=weights).stdout.splitlines()[0])
    state = torch.load(weights / "resnet8.pt", weights_only=True)
    assert facts["tensors"] == len(state)
    assert facts["numbers"] == sum(tensor.numel() for tensor in state.values())
    assert facts["fits"] == ["resnet8"]
    assert facts["not_finite"] == {}
    state["backbone.stages.0.conv.weight"][0, 0, 0, :2] = torch.tensor([float("nan"), float("inf")])
    torch.save(state, weights / "broken.pt")
    done = visus("weights", "check", "broken.pt", cwd=weights, status=2)
    assert "2 of its numbers are NaN or infinite: backbone.stages.0.conv.weight" in done.stderr


def test_a_library_is_held_against_ours(tmp_path: Path) -> None:
    words = ("weights", "certify", "torchvision:squeezenet1_1", "--out", "out")
    same = library(tmp_path / "same")
    facts = json.loads(visus(*words, "--json", cwd=tmp_path, PYTHONPATH=same).stdout.splitlines()[-1])
    assert (facts["network"], facts["inputs"], facts["top1_agreement"]) == ("squeezenet1_1", 4, 1.0)
    assert facts["relative"] < 1e-6
    other = library(tmp_path / "other", change("classifier.1", "y.roll(1, 1)"))
    done = visus(*words, cwd=tmp_path, status=2, PYTHONPATH=other, COLUMNS="140")
    assert "1 of 1 differ by more than 1e-4 of the greatest score" in done.stderr
    assert re.search(r"^torchvision:squeezenet1_1 +squeezenet1_1 +26 .* head\.1\.conv .* 0 of 4 *$", done.stdout, re.M)
    assert "do not agree" in (tmp_path / "out" / "torchvision" / "squeezenet1_1.md").read_text(encoding="utf-8")


def test_predict_with_a_network_and_its_weights(weights: Path) -> None:
    image = next((weights / "photos" / "class 1").iterdir())
    named = visus("predict", "--model", "resnet8", "--weights", "runs/resnet8", image, "--json", cwd=weights).stdout
    assert json.loads(named) == json.loads(visus("predict", "runs/resnet8", image, "--json", cwd=weights).stdout)
    for words, says in (
        (("--model", "resnet8", "--weights", "resnet8.pt", image), "doesn't say how the network is fed"),
        (("--model", "resnet20", "--weights", "runs/resnet8", image), "is of resnet8"),
        (("runs/resnet8", image, "--weights", "resnet8.pt"), "a run has its own"),
        (("runs/resnet8",), "nothing to look at is named"),
    ):
        assert says in visus("predict", *words, cwd=weights, status=2).stderr
