"""What is found by measuring, decided on told measurements; and that measuring leaves nothing behind."""

import dataclasses

import pytest
import torch

import visus
from visus.data.loader import InMemory, Loader
from visus.data.preprocess import ImagePreprocess
from visus.data.samples import ArraySamples
from visus.data.types import Schema, Targets
from visus.errors import SpecError
from visus.models import find
from visus.run import tuning
from visus.run.recipe import Budget, Recipe, Runtime
from visus.run.tuning import Trial, compiled_players, find_batch, find_runtime
from visus.run.watch import Silent
from visus.tasks import Classify
from visus.training import NotFinite, fit, ready

COUNT = 640


def trial(recipe: Recipe = Recipe(), name: str = "resnet18") -> Trial:  # noqa: B008
    torch.manual_seed(0)
    schema = Schema(shape=(1, 16, 16), targets=("label",), labels=("a", "b"))
    model = Classify().assemble(find(name).spec, schema)
    images = torch.randint(0, 256, (COUNT, 1, 16, 16), dtype=torch.uint8)
    samples = ArraySamples("made", images.permute(0, 2, 3, 1).numpy(), [])
    prepared = InMemory(samples, torch.arange(COUNT), [], images, Targets(label=torch.arange(COUNT) % 2))
    loader = Loader(prepared, ImagePreprocess(size=(16, 16), channels=1), 8, torch.device("cpu"))

    def players(compiled: bool):
        found = Classify().players(model)
        return compiled_players(found) if compiled else found

    return Trial(players, model, loader, recipe)


@pytest.fixture
def told(monkeypatch):
    """Seconds of a step by (precision, compiled) or by the batch, in place of measured ones; what was asked for."""
    asked, table = [], {}

    def seconds(self, precision, *, compiled=False):
        key = self.loader.batch if self.loader.batch in table else (str(precision).removeprefix("torch."), compiled)
        asked.append(key)
        found = table[key]
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, tuple) else (found, found)

    monkeypatch.setattr(Trial, "seconds", seconds)
    return table, asked


PLAIN, COARSE, COMPILED = ("float32", False), ("bfloat16", False), ("float32", True)


@pytest.mark.parametrize(
    ("times", "steps", "exact", "wanted", "measured"),
    [
        ({PLAIN: 0.1, COARSE: 0.05}, 1000, False, "bfloat16", [PLAIN, COARSE]),
        ({PLAIN: 0.1, COARSE: 0.09}, 1000, False, "float32", [PLAIN, COARSE]),  # not clearly faster
        ({PLAIN: 0.1, COARSE: 0.01}, 500, False, "float32", [PLAIN]),  # 50 seconds: not long
        ({PLAIN: 9.0, COARSE: 0.01}, 99, False, "float32", []),  # too few steps to measure any
        ({PLAIN: 0.1, COARSE: 0.01}, 1000, True, "float32", [PLAIN]),  # values, not classes
        ({PLAIN: NotFinite("the loss isn't a number", (0,))}, 1000, False, "float32", [PLAIN]),
    ],
)
def test_bfloat16_where_it_is_clearly_faster_in_a_long_run(told, times, steps, exact, wanted, measured):
    table, asked = told
    table |= times
    said = []
    found = find_runtime(trial(), steps, exact=exact, say=said.append)
    assert (found.precision, found.compile) == (wanted, "off")
    assert asked == measured
    assert len(said) == (COARSE in asked)


def test_what_is_given_is_not_measured(told):
    runtime = Runtime(precision="float32", compile="off")
    assert find_runtime(trial(Recipe(runtime=runtime)), 10**6, exact=False, say=print) == runtime
    assert told[1] == []


@pytest.mark.parametrize(
    ("outcome", "wanted", "words"),
    [
        ((60.0, 0.5), "on", "are compiled"),
        ((60.0, 0.99), "off", "not compiled"),
        ((4000.0, 0.5), "off", "not compiled"),  # 4,000 s of compiling save 3,600 s
        (RuntimeError("a graph is too odd"), "off", "torch can't here: a graph is too odd"),
    ],
)
def test_steps_are_compiled_where_that_pays_back_within_hours(told, outcome, wanted, words):
    table, _ = told
    table |= {PLAIN: 1.0, COARSE: 2.0, COMPILED: outcome}
    said = []
    found = find_runtime(trial(), 7200, exact=False, say=said.append)
    assert (found.precision, found.compile) == ("float32", wanted)
    assert words in said[-1]


def test_without_a_compiler_steps_stay_as_they_are(told, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SpecError, match="there is no C\\+\\+ compiler"):
        trial(name="mlp").players(True)
    told[0].update({PLAIN: 1.0, COARSE: 2.0, COMPILED: SpecError("there is no C++ compiler")})
    said = []
    assert find_runtime(trial(name="mlp"), 7200, exact=False, say=said.append).compile == "off"
    assert "there is no C++ compiler" in said[-1]


def test_memory_that_is_out_is_not_taken_for_a_compiler_that_is_missing(told):
    table, _ = told
    table |= {PLAIN: 1.0, COARSE: 2.0, COMPILED: RuntimeError("DefaultCPUAllocator: can't allocate memory")}
    with pytest.raises(RuntimeError, match="allocate"):
        find_runtime(trial(), 7200, exact=False, say=print)


OUT = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


@pytest.mark.parametrize(
    ("seconds", "wanted", "words"),
    [
        ({8: 1.0, 16: 1.1, 32: 1.2}, 32, "fewer than 20 steps with 64"),  # of 640 samples
        ({8: 1.0, 16: 1.1, 32: OUT}, 16, "32 doesn't fit in memory"),
        ({8: 1.0, 16: 2.0, 32: 4.0}, 8, "no faster, with 8 samples a second against 8"),
        ({8: 1.0, 16: 2.0, 32: 2.5}, 32, "fewer than 20"),  # one that is no faster may be a chance
    ],
)
def test_the_batch_is_the_largest_that_fits_and_helps(told, seconds, wanted, words):
    told[0].update(seconds)
    said = []
    assert find_batch(trial(), said.append) == wanted
    assert words in said[0]


def test_a_smallest_batch_that_does_not_fit_is_an_error(told):
    told[0].update({8: OUT})
    with pytest.raises(RuntimeError, match="allocate"):
        find_batch(trial(), print)


def test_memory_is_foreseen(monkeypatch, told):
    """Each doubling adds twice what the last one did: 100, 200, so 400 come next, and 800 × 5/4 bytes must be free."""
    told[0].update({8: 1.0, 16: 1.0, 32: 1.0})
    peaks = iter([1000, 1100, 1300])
    monkeypatch.setattr(tuning, "FEWEST", 1)
    monkeypatch.setattr(tuning, "_status", lambda key: next(peaks) if key == "VmHWM" else 900)
    free = {"now": 0}
    monkeypatch.setattr(tuning, "free_memory", lambda: free["now"])
    free["now"] = 999
    said = []
    assert find_batch(trial(), said.append) == 32
    assert "64 may not fit in the memory that is free" in said[0]
    peaks = iter([1000, 1100, 1300, 1700])
    free["now"] = 1000
    told[0].update({64: OUT})
    assert find_batch(trial(), said.append) == 32
    assert "64 doesn't fit in memory" in said[1]


def test_measuring_leaves_the_network_as_it_was():
    one = trial(Recipe(budget=Budget(accumulate=2)))
    before = {name: value.clone() for name, value in one.model.state_dict().items()}
    state = torch.get_rng_state()
    one.model.train()
    first, later = one.seconds(torch.float32)
    assert first > 0
    assert later > 0
    assert all(torch.equal(value, before[name]) for name, value in one.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in one.model.parameters())


def test_what_was_found_is_written_down_and_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(tuning, "LONG", 0.0)
    monkeypatch.setattr(tuning, "MEASURED", 1)
    run = visus.train(
        "digits", model="mlp", epochs=1, batch="auto", device="cpu", root=tmp_path, watch=Silent(),
        settings=["runtime.keep_memory=false"],
    )  # fmt: skip
    kept = (run.folder / "recipe.toml").read_text()
    log = (run.folder / "log.txt").read_text()
    assert f"batch = {run.recipe.budget.batch}" in kept
    assert f'precision = "{run.recipe.runtime.precision}"' in kept
    assert 'compile = "off"' in kept
    assert f"batch: {run.recipe.budget.batch}, found: " in log
    assert f"precision: {run.recipe.runtime.precision}, measured: " in log
    assert isinstance(run.recipe.budget.batch, int)


def test_several_ranks_want_a_number(tmp_path, monkeypatch):
    from visus.run.spreading import check_ranks
    from visus.training.ranks import Ranks

    class Open:
        recipe = Recipe(budget=Budget(batch="auto"))

    with pytest.raises(SpecError, match="is found by one process"):
        check_ranks(Open(), Ranks(0, 2), "")  # type: ignore[arg-type]


def test_compiled_steps_lower_the_loss_as_plain_ones_do():
    losses = []
    for compiled in (False, True):
        one = trial(name="mlp")
        learners = ready(one.players(compiled), Recipe().optim)
        steps = fit(learners, dataclasses.replace(one.loader, batch=32).train(), steps=4)
        losses.append([step.losses["classifier"]["cross_entropy"].item() for step in steps])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[0][0] != losses[0][-1]
