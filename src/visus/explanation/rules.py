"""What each operation makes of the states of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import torch

from visus.explanation.follow import Call, Dim, Part, Rule, Span, State, length_of, sides_of

aten = torch.ops.aten


def rule_of(operation: Any) -> Rule | None:
    """The rule of an operation of torch; None where there is none."""
    pointwise = _pointwise if torch.Tag.pointwise in operation.tags else None
    return RULES.get(operation.overloadpacket, pointwise)


def _together(call: Call, states: Sequence[State], gated: bool = False) -> tuple[Span | None, ...]:
    """The least spans that hold those of all states."""
    found: list[Span | None] = []
    for spans in zip(*(state.spans for state in states), strict=True):
        finite = [span for span in spans if span is not None]
        if not finite or (len(finite) < len(spans) and not gated):
            found.append(None)
            continue
        if len({span.stride for span in finite}) > 1:
            raise call.lost()
        start, end = min(span.start for span in finite), max(span.start + span.size for span in finite)
        found.append(Span(ceil(end - start), finite[0].stride, start))
    return tuple(found)


def _dims(call: Call, states: Sequence[State]) -> tuple[Dim, ...]:
    """Of states that are broadcast to one shape: of each dimension, the one that runs along the image."""
    found: list[Dim] = []
    for place, length in zip(range(-len(call.shape), 0), call.shape, strict=True):
        same = [state.dims[place] for state in states if -place <= len(state.dims)]
        same = [dim for dim in same if length_of(dim) == length]
        most = max(same, key=lambda dim: len(sides_of(dim)), default=(Part(length),))
        sides = sides_of(*same)
        found.append(most if sides_of(most) == sides else (Part(length, sides),))
    return tuple(found)


def _crossed(state: State) -> State:
    """A side that runs along two dimensions at once is seen whole: every pixel meets every other."""
    sides = [sides_of(dim) for dim in state.dims]
    return state.whole({side for side in (0, 1) if sum(side in each for each in sides) > 1})


def _pointwise(call: Call) -> State:
    states = call.known()
    gated = call.name.startswith(("aten.mul.", "aten.mul_."))
    return _crossed(State(_dims(call, states), _together(call, states, gated)))


def _unchanged(call: Call) -> State:
    return call.main()


def _window(call: Call, state: State, steps: Sequence[Callable[[Span], Span]]) -> State:
    """Windows over the last dimensions."""
    spans = list(state.spans)
    for dim, step in zip(state.dims[-len(steps) :], steps, strict=True):
        sides = sides_of(dim)
        if len(sides) == 1:
            side = next(iter(sides))
            span = spans[side]
            spans[side] = step(span) if span else None
        elif sides:
            raise call.lost()
    return replace(state, spans=tuple(spans))


def _slid(size: int, stride: int, pad: int, dilation: int = 1) -> Callable[[Span], Span]:
    def step(span: Span) -> Span:
        reach = (size - 1) * dilation
        return Span(ceil(span.size + reach * span.stride), span.stride * stride, span.start - pad * span.stride)

    return step


def _slid_back(size: int, stride: int, pad: int, dilation: int) -> Callable[[Span], Span]:
    """A transposed convolution: pixel o of the output sees the pixels (o + pad − k·dilation)/stride of the input."""

    def step(span: Span) -> Span:
        reach = (size - 1) * dilation
        wide = ceil(span.size + reach // stride * span.stride)
        shift = (span.size - wide) * stride + span.stride * (2 * pad - reach)
        return Span(wide, _share(span.stride, stride), span.start + _share(shift, 2 * stride))

    return step


def _share(a: float, b: int) -> float:
    """a/b, an int where it is whole."""
    return int(a // b) if a % b == 0 else a / b


def _each(values: Sequence[int] | int, count: int) -> list[int]:
    """One number for each dimension of a window, of as many or of one."""
    found = [values] if isinstance(values, int) else list(values)
    return found * count if len(found) == 1 else found


def _convolution(call: Call) -> State:
    state, sizes = call.main(), call["weight"].shape[2:]
    lists = (_each(call[name], len(sizes)) for name in ("stride", "padding", "dilation"))
    step = _slid_back if call["transposed"] else _slid
    steps = [step(*each) for each in zip(sizes, *lists, strict=True)]
    found = _window(call, state.whole(sides_of(state.dims[1])), steps)
    return replace(found, dims=(found.dims[0], (Part(call.shape[1]),), *found.dims[2:]))


def _pool(call: Call) -> State:
    sizes = list(call["kernel_size"])
    count = len(sizes)
    strides = list(call["stride"]) or sizes
    dilations = _each(call.given.get("dilation", 1), count)
    lists = (_each(sizes, count), _each(strides, count), _each(call["padding"], count), dilations)
    return _window(call, call.main(), [_slid(*each) for each in zip(*lists, strict=True)])


def _pool_to(call: Call) -> State:
    """Pooling to a given grid: the identity where it is the map's own; else each pixel is of the whole image."""
    state, count = call.main(), len(call["output_size"])
    if tuple(call.shape) == tuple(length_of(dim) for dim in state.dims):
        return state
    return state.whole(sides_of(*state.dims[-count:]))


def _pad(call: Call) -> State:
    state, before = call.main(), call["pad"][::2][::-1]
    return _window(call, state, [_slid(1, 1, pad) for pad in before])


def _slice(call: Call) -> State:
    state = call.main()
    dim, step = call.dim(len(state.dims)), call["step"]
    length = length_of(state.dims[dim])
    start = min(max(start + length if (start := call["start"] or 0) < 0 else start, 0), length)
    if (start, step) == (0, 1) or len(sides_of(state.dims[dim])) != 1:
        return state
    side = next(iter(sides_of(state.dims[dim])))
    spans = list(state.spans)
    if span := spans[side]:
        spans[side] = Span(span.size, span.stride * step, span.start + start * span.stride)
    return replace(state, spans=tuple(spans))


def _split(call: Call) -> State:
    state = call.main()
    if sides_of(state.dims[call.dim(len(state.dims))]):
        raise call.lost()
    return state


def _select(call: Call) -> State:
    state = call.main()
    dim = call.dim(len(state.dims))
    return replace(state, dims=state.dims[:dim] + state.dims[dim + 1 :])


def _unsqueeze(call: Call) -> State:
    state = call.main()
    dim = call.dim(len(state.dims) + 1)
    return replace(state, dims=(*state.dims[:dim], (Part(1),), *state.dims[dim:]))


def _squeeze(call: Call) -> State:
    state = call.main()
    given = call["dim"] if "dim" in call.given else range(len(state.dims))
    asked = {dim % len(state.dims) for dim in ([given] if isinstance(given, int) else given)}
    gone = {dim for dim in asked if length_of(state.dims[dim]) == 1}
    return replace(state, dims=tuple(each for dim, each in enumerate(state.dims) if dim not in gone))


def _permute(call: Call) -> State:
    state = call.main()
    order = list(range(len(state.dims)))
    if "dims" in call.given:
        order = [order[dim] for dim in call["dims"]]
    else:
        one, other = (call["dim0"], call["dim1"]) if "dim0" in call.given else (0, -1)
        order[one], order[other] = order[other], order[one]
    return replace(state, dims=tuple(state.dims[dim] for dim in order))


def _expand(call: Call) -> State:
    return replace(call.main(), dims=_dims(call, [call.main()]))


def _view(call: Call) -> State:
    """The same elements in the same order: the parts of the old dimensions are dealt out to the new ones."""
    state = call.main()
    rest = [part for dim in state.dims for part in dim][::-1]
    dims: list[Dim] = []
    for length in call.shape:
        parts: list[Part] = []
        lacking = length
        while lacking > 1 or (not parts and rest and rest[-1].length == 1):
            part = rest.pop()
            if part.length > lacking:
                if part.sides or part.length % lacking:
                    raise call.lost()
                rest.append(Part(part.length // lacking))
                part = Part(lacking)
            if lacking % part.length:
                raise call.lost()
            parts.append(part)
            lacking //= part.length
        dims.append(tuple(parts) or (Part(1),))
    if dims:
        dims[-1] += tuple(rest[::-1])  # all of length 1
    return replace(state, dims=tuple(dims))


def _cat(call: Call) -> State:
    states = call.known("tensors")
    place = call.dim(len(call.shape))
    lengths = [replace(state, dims=state.shaped(call.shape).dims) for state in states]
    found = State(_dims(call, lengths), _together(call, states))
    sides = sides_of(*(state.dims[place] for state in states))
    return replace(found, dims=(*found.dims[:place], (Part(call.shape[place], sides),), *found.dims[place + 1 :]))


def _stack(call: Call) -> State:
    states = call.known("tensors")
    dim = call.dim(len(call.shape))
    return State((*states[0].dims[:dim], (Part(call.shape[dim]),), *states[0].dims[dim:]), _together(call, states))


def _mixed(call: Call, dims: Iterable[int]) -> State:
    """Elements along these dimensions meet."""
    state = call.main()
    return state.whole(sides_of(*(state.dims[dim] for dim in dims)))


def _softmax(call: Call) -> State:
    return _mixed(call, [call["dim"]])


def _layer_norm(call: Call) -> State:
    return _mixed(call, range(-len(call["normalized_shape"]), 0))


def _reduced(call: Call) -> State:
    state, given = call.main(), call.given.get("dim")
    asked = [given] if isinstance(given, int) else list(given or range(len(state.dims)))
    gone = {dim % len(state.dims) for dim in asked}
    found = _mixed(call, gone)
    if call.given.get("keepdim"):
        return replace(found, dims=tuple((Part(1),) if dim in gone else each for dim, each in enumerate(found.dims)))
    return replace(found, dims=tuple(each for dim, each in enumerate(found.dims) if dim not in gone))


def _product(call: Call) -> State:
    """…×M×K times …×K×N: elements meet along K, and along what runs through both M and N."""
    left, right = (call.state(name) for name in (("mat1", "mat2") if "mat1" in call.given else ("self", "mat2")))
    rows = left.dims[-2] if left else (Part(call.shape[-2]),)
    columns = right.dims[-1] if right else (Part(call.shape[-1]),)
    met = (sides_of(left.dims[-1]) if left else set()) | (sides_of(right.dims[-2]) if right else set())
    states = [state for state in (left, right) if state]
    outer = max((state.dims[:-2] for state in states), key=lambda dims: len(sides_of(*dims)))
    return _crossed(State((*outer, rows, columns), _together(call, states)).whole(met))


RULES: dict[Any, Rule] = {
    **dict.fromkeys((aten.view, aten._unsafe_view), _view),
    **dict.fromkeys((aten.detach, aten.alias, aten.hardswish, aten.hardswish_), _unchanged),
    **dict.fromkeys((aten.native_batch_norm, aten.native_group_norm), _unchanged),
    **dict.fromkeys((aten.split, aten.split_with_sizes), _split),
    **dict.fromkeys((aten.max_pool2d_with_indices, aten.avg_pool2d, aten.avg_pool3d), _pool),
    **dict.fromkeys((aten._adaptive_avg_pool2d, aten.adaptive_max_pool2d), _pool_to),
    **dict.fromkeys((aten.mean, aten.sum, aten.amax), _reduced),
    **dict.fromkeys((aten._softmax, aten._safe_softmax), _softmax),
    **dict.fromkeys((aten.mm, aten.addmm, aten.bmm), _product),
    **dict.fromkeys((aten.permute, aten.transpose, aten.t), _permute),
    **dict.fromkeys((aten.select, aten.unbind), _select),
    aten.convolution: _convolution,
    aten.constant_pad_nd: _pad,
    aten.slice: _slice,
    aten.unsqueeze: _unsqueeze,
    aten.squeeze: _squeeze,
    aten.expand: _expand,
    aten.cat: _cat,
    aten.stack: _stack,
    aten.native_layer_norm: _layer_norm,
}
