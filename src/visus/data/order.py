"""The order in which an epoch takes its samples: a pure function of the samples and a generator, so nothing is kept.

Samples that lie in shards are mixed within windows: the shards are shuffled, taken a few at a time, and the samples of
these few are shuffled. So reading stays within a few large files for a while, which slow disks need, and a batch is as
mixed as one drawn from a buffer that holds those files whole.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from visus.data.samples import Samples

WINDOW = 4  # shards at a time


def epoch_order(samples: Samples, rows: Tensor, random: torch.Generator) -> Tensor:
    """The positions within `rows` in the order of one epoch, N int64: each of them once.

    rows: N int64, the usable rows of the samples.
    """
    shards = samples.shards()
    if shards is None:
        return torch.randperm(len(rows), generator=random)
    used, shard = np.unique(shards[rows.numpy()], return_inverse=True)
    place = torch.randperm(len(used), generator=random)  # of each shard, in the order of this epoch
    window = place[torch.from_numpy(shard)] // WINDOW
    mixed = torch.randperm(len(rows), generator=random)
    return mixed[torch.argsort(window[mixed], stable=True)]


def in_groups(order: Tensor, label: Tensor, each: int) -> Tensor:
    """The positions of an order so that `each` of them after another have one label; what is left of a label, fewer
    than that, is left out.

    order: N int64, an epoch's. label: int64, of every position. The groups follow one another as their first members
    did, and their members among themselves too.
    """
    place = torch.argsort(label[order], stable=True)  # label by label, in the epoch's order
    sorted_N = label[order[place]]
    start_N = torch.searchsorted(sorted_N, sorted_N)
    group_N = (torch.arange(len(order)) - start_N) // each
    counts_N = torch.searchsorted(sorted_N, sorted_N, right=True) - start_N
    full = place[group_N < counts_N // each].view(-1, each)
    return order[full[full[:, 0].argsort()].flatten()]
