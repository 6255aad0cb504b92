"""Activations by name, as recipes write them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import nn

Activation = Literal["relu", "relu6", "leaky", "silu", "hardswish", "gelu", "tanh", "sigmoid", "hardsigmoid"]

_BUILD: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "relu6": partial(nn.ReLU6, inplace=True),
    "leaky": partial(nn.LeakyReLU, 0.1, inplace=True),  # the slope of YOLO's networks
    "silu": partial(nn.SiLU, inplace=True),
    "hardswish": partial(nn.Hardswish, inplace=True),
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "hardsigmoid": nn.Hardsigmoid,
}


def activation(name: Activation | None) -> nn.Module:
    """A new layer; the identity for None. Those that can write over their input do."""
    return nn.Identity() if name is None else _BUILD[name]()
