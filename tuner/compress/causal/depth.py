"""Depth: in which order the layers of a language model can be left out, found by leaving them out."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tuner.compress.causal.text_loss import Inputs, loss_of_states
from tuner.compress.training import mixed_precision


def layer_scores(model: nn.Module, layers: nn.ModuleList, inputs: Inputs) -> list[float]:
    """Return one score a layer: its place in the order in which layers go; the first and the last never go.

    Greedy, by the loss on real text without the layer and those that went before it, as SLEB does (Song et al.
    2024, arXiv 2402.09025, section 3). Block influence (ShortGPT, Men et al. 2024, arXiv 2403.03853, section 3)
    takes one pass instead, but looks at each layer alone and only at how far it turns its input: it takes away
    neighbours that stand in for each other. Losses seldom fall when more layers go, so those known from earlier
    rounds are bounds, and only layers that may still be the cheapest are tried anew (lazy evaluation, Minoux
    1978): some four trials a layer. A pass begins where the stack differs, on what came out before.
    """
    stack = _Stack(model, layers, inputs)
    with torch.inference_mode(), mixed_precision():
        stack.run()
        order = _order(stack, len(layers))
    order += [i for i in (len(layers) - 1, 0) if i not in order]
    return [float(order.index(i)) for i in range(len(layers))]


def _order(stack: _Stack, count: int) -> list[int]:
    known = {layer: stack.loss_without(layer) for layer in range(1, count - 1)}
    order: list[int] = []
    while known:
        order.append(_cheapest(stack, known))
        known.pop(order[-1])
        stack.remove(order[-1])
    return order


def _cheapest(stack: _Stack, known: dict[int, float]) -> int:
    """Return the layer without which the loss is least; bring losses in `known` up to date until it is sure."""
    fresh: set[int] = set()
    while True:
        layer = min(known, key=known.__getitem__)
        if layer in fresh or len(known) == 1:
            return layer
        known[layer] = stack.loss_without(layer)
        fresh.add(layer)


class _Stack:
    """A model's layers, run by hand on one batch so that a pass can begin anywhere and pass over any of them."""

    def __init__(self, model: nn.Module, layers: nn.ModuleList, inputs: Inputs) -> None:
        self._model, self._layers, self._inputs = model, layers, inputs
        self._kept = list(range(len(layers)))
        self._given: list[dict[str, Any]] = [{} for _ in layers]
        self._states: dict[int, torch.Tensor] = {}  # layer → what goes into it

    def run(self) -> None:
        """Run the whole model once, and keep what each layer is given."""
        hooks = [
            layer.register_forward_pre_hook(self._see(i), with_kwargs=True)
            for i, layer in enumerate(self._layers)
        ]
        self._model.base_model(**self._inputs, use_cache=False)
        for hook in hooks:
            hook.remove()

    def _see(self, number: int) -> Any:
        def see(_: nn.Module, inputs: tuple[torch.Tensor, ...], given: dict[str, Any]) -> None:
            self._states[number], self._given[number] = inputs[0], given

        return see

    def loss_without(self, layer: int) -> float:
        """Return the summed loss (nats) of the present stack without this layer too."""
        state = self._states[layer]
        for number in self._after(layer):
            state = self._layers[number](state, **self._given[number])
        return float(loss_of_states(self._model, self._model.base_model.norm(state), self._inputs))

    def remove(self, layer: int) -> None:
        """Take the layer out for good."""
        state = self._states.pop(layer)
        for number in self._after(layer):
            self._states[number] = state
            state = self._layers[number](state, **self._given[number])
        self._kept.remove(layer)

    def _after(self, layer: int) -> list[int]:
        return [number for number in self._kept if number > layer]
