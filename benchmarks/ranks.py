"""Images a second of two ranks of one thread each beside one rank of one thread, in one interleaved run.

    python benchmarks/ranks.py [--rounds 3] [--model resnet20] [--size 32] [--batch 128] [--steps 60] [--ranks 2]

The same network, batches (of all ranks together) and steps. Each rank needs a core of its own: on a busy machine, or
one with fewer cores than ranks, the figure says nothing. Reading, measuring and drawing aren't in it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import torch
from machine import describe

from visus.data.loader import Loader, prepare
from visus.data.open import open_dataset
from visus.data.preprocess import ImagePreprocess
from visus.models import build_classifier, find
from visus.nn.synced import synchronize
from visus.run.device import keep_memory
from visus.run.job import together
from visus.tasks import Classify
from visus.training import SGD, fit, ready
from visus.training.parallel import replicated

WARM = 5  # steps before the clock starts


def rank_seconds(model: str, size: int, batch: int, steps: int) -> float:
    """Seconds of the steps, as one of the ranks that the environment says."""
    torch.set_num_threads(1)
    keep_memory()
    dataset = open_dataset("digits")
    preprocess = ImagePreprocess(size=(size, size), channels=3, mean=(0.3,) * 3, std=(0.3,) * 3)
    with together() as job:
        ranks = job.ranks
        torch.manual_seed(0)
        network = build_classifier(find(model).spec, preprocess.shape, 10)
        if ranks.count > 1:
            synchronize(network)
        network.to(memory_format=torch.channels_last)
        players = Classify().players(network)
        if ranks.count > 1:
            players = tuple(replicated(player, ranks) for player in players)
        prepared = prepare(dataset.splits["train"], dataset.schema, preprocess)
        cpu = torch.device("cpu")
        loader = Loader(prepared, preprocess, batch, cpu, channels_last=True, rank=ranks.rank, ranks=ranks.count)
        began = 0.0
        for step in fit(ready(players, SGD(lr=0.01)), loader.train(), steps=steps + WARM):
            if step.index + 1 == WARM:
                ranks.wait()
                began = time.perf_counter()
        ranks.wait()
        return time.perf_counter() - began


def job_seconds(count: int, model: str, size: int, batch: int, steps: int) -> float:
    """Seconds of a job of so many processes, forked from this one, as its first rank has them."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    told, tell = os.pipe()
    children = []
    for rank in range(count):
        child = os.fork()
        if not child:
            status = 1
            try:
                os.environ.update(
                    RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), LOCAL_WORLD_SIZE=str(count),
                    MASTER_ADDR="127.0.0.1", MASTER_PORT=str(store.port), TORCHELASTIC_USE_AGENT_STORE="True",
                )  # fmt: skip
                took = rank_seconds(model, size, batch, steps)
                if rank == 0:
                    os.write(tell, str(took).encode())
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    for child in children:
        if os.waitpid(child, 0)[1]:
            raise SystemExit("a rank has failed")
    found = float(os.read(told, 100))
    os.close(told)
    os.close(tell)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--ranks", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(describe())
    size = f"{arguments.size}×{arguments.size}"
    print(f"network {arguments.model}, 3×{size}, {arguments.batch} images a step over all ranks\n", flush=True)
    counts = (1, arguments.ranks)
    rates: dict[int, list[float]] = {count: [] for count in counts}
    for round_ in range(arguments.rounds):
        for count in counts:
            took = job_seconds(count, arguments.model, arguments.size, arguments.batch, arguments.steps)
            rates[count].append(arguments.steps * arguments.batch / took)
            print(f"round {round_ + 1}  {count} rank(s) of 1 thread  {rates[count][-1]:8.0f} images/s", flush=True)
    one, several = (statistics.median(rates[count]) for count in counts)
    print(f"\n{arguments.ranks} ranks: {several / one:.2f} × the images per second of one")


if __name__ == "__main__":
    main()
