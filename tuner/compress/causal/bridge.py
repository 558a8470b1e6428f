"""Bridge: the layers on both sides of a cut learn to do together what those between them did.

What flows through a teacher's layers is known without its output matrix, and a cut's neighbours are trained on it
without the other layers: a step costs a tenth or less of one through the whole student. LLM-Streamline (Chen et al.
2024, arXiv 2403.19135, section 3.2) trains a small network in the place of removed layers so, on the mean squared error
of hidden states; here the neighbours take it over, and the student stays a plain model. Inputs are what the student's
own layers hand on, so that a later cut makes up for what is left of an earlier one's error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from tuner.compress.batches import Batch, Split
from tuner.compress.training import Plan, mixed_precision, train

_ROOM = 2**30  # bytes of hidden states that are held; a wide model is bridged on fewer windows

Given = list[dict[str, Any]]  # what a model gives each of its layers beside the states


@dataclass
class Flow:
    """What flows through a model on one batch: bf16 states (batch, tokens, hidden) by the layer that they enter.

    What leaves the last layer has the number after its own.
    """

    states: dict[int, torch.Tensor]
    given: Given
    real: torch.Tensor  # bool (batch, tokens): no padding


def cuts(kept: Sequence[int]) -> list[list[int]]:
    """Return the kept layers beside each cut, ascending; cuts that share a neighbour are one.

    >>> cuts([0, 1, 2, 4, 6, 7, 9])
    [[2, 4, 6], [7, 9]]
    """
    found: list[list[int]] = []
    for one, other in pairwise(kept):
        if other > one + 1 and found and found[-1][-1] == one:
            found[-1].append(other)
        elif other > one + 1:
            found.append([one, other])
    return found


def bridge(
    student: nn.Module,
    teacher: nn.Module,
    kept: Sequence[int],
    split: Split,
    batch: int,
    plan: Plan,
    seed: int,
) -> list[dict[str, Any]]:
    """Train the layers of `student` beside its cuts in place; return what `train` does, for each cut.

    `kept` are the numbers that the student's layers have in the teacher; `split` has windows of text, `batch` of which
    make a step; `plan` is that of each cut.
    """
    parts = cuts(kept)
    if not parts:
        return []
    wanted = {part[0] for part in parts} | {part[-1] + 1 for part in parts}
    own = dict(zip(kept, _layers(student), strict=True))
    with torch.no_grad(), mixed_precision():
        flows = [_flow(teacher, one, wanted) for one in _batches(split, batch, len(wanted), teacher)]
    states, at, reports = [flow.states[parts[0][0]] for flow in flows], parts[0][0], []
    for number, part in enumerate(parts):
        between = [layer for layer in kept if at <= layer < part[0]]
        states = _through(own, between, states, flows)
        generator = torch.Generator().manual_seed(seed + number)
        reports.append(_taught(own, part, states, flows, plan, generator))
        states, at = _through(own, part, states, flows), part[-1] + 1
    return reports


def _layers(model: nn.Module) -> nn.ModuleList:
    return model.base_model.layers


def _batches(split: Split, batch: int, held: int, model: nn.Module) -> Iterator[Batch]:
    """Yield as many of the windows as there is room for."""
    window = split.inputs["input_ids"].shape[1] * model.config.hidden_size * 2 * (held + 1)
    most = max(_ROOM // window // batch, 1)
    for number, one in enumerate(split.in_order(batch)):
        if number < most:
            yield one


class _EnoughError(Exception):
    """The layers above are not asked."""


def _flow(model: nn.Module, batch: Batch, wanted: set[int]) -> Flow:
    """Run a model up to the last layer whose input is wanted, or through all of it."""
    inputs, _, _ = batch
    layers, found = _layers(model), Flow({}, [], inputs["attention_mask"].bool())

    def see(_: nn.Module, entering: tuple[torch.Tensor, ...], given: dict[str, Any]) -> None:
        number = len(found.given)
        found.given.append({name: value for name, value in given.items() if "past" not in name})
        if number in wanted:
            found.states[number] = entering[0].to(torch.bfloat16)
        if number == max(wanted):
            raise _EnoughError

    entered = [*layers, model.base_model.norm]
    hooks = [module.register_forward_pre_hook(see, with_kwargs=True) for module in entered]
    try:
        model.base_model(**inputs, use_cache=False)
    except _EnoughError:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _run(own: dict[int, Any], part: Sequence[int], states: torch.Tensor, given: Given) -> torch.Tensor:
    for number in part:
        states = own[number](states, **given[number])
    return states


@torch.no_grad()
def _through(
    own: dict[int, Any], part: Sequence[int], states: list[torch.Tensor], flows: list[Flow]
) -> list[torch.Tensor]:
    """Return what these layers of the student hand on."""
    with mixed_precision():
        pairs = zip(states, flows, strict=True)
        return [_run(own, part, one, flow.given).to(torch.bfloat16) for one, flow in pairs]


def _taught(
    own: dict[int, Any],
    part: Sequence[int],
    states: list[torch.Tensor],
    flows: list[Flow],
    plan: Plan,
    generator: torch.Generator,
) -> dict[str, Any]:
    """Train the layers of one cut, so that from their own inputs comes what the teacher's layers made of theirs."""

    def loss(number: int) -> torch.Tensor:
        flow = flows[number]
        made = _run(own, part, states[number], flow.given)[flow.real].float()
        return relative_error(made, flow.states[part[-1] + 1][flow.real].float())

    def order() -> Iterator[int]:
        while True:
            yield from torch.randperm(len(flows), generator=generator).tolist()

    return train(nn.ModuleList(own[number] for number in part), order(), loss, plan)


def relative_error(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the mean over tokens of the squared error by the token's own size, of states (tokens, hidden).

    A few tokens, the first among them, have states a hundred times larger than all others.
    """
    return ((made - wanted).square().sum(-1) / wanted.square().sum(-1).clamp(min=1e-6)).mean()
