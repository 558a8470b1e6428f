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
    neighbours that stand in for each other. What leaving a layer out costs seldom falls when others are gone, so
    costs of earlier rounds are bounds, and only layers that may still be the cheapest are tried anew (lazy evaluation,
    Minoux 1978). A pass begins where the stack differs, on what came out before.
    """
    stack = _Stack(model, layers, inputs)
    with torch.inference_mode(), mixed_precision():
        order = _order(stack, len(layers))
    order += [i for i in (len(layers) - 1, 0) if i not in order]
    return [float(order.index(i)) for i in range(len(layers))]


def _order(stack: _Stack, count: int) -> list[int]:
    stack.run()
    rises = {layer: stack.loss_without(layer) - stack.loss for layer in range(1, count - 1)}
    order: list[int] = []
    while rises:
        order.append(_cheapest(stack, rises))
        rises.pop(order[-1])
        stack.remove(order[-1])
    return order


def _cheapest(stack: _Stack, rises: dict[int, float]) -> int:
    """Return the layer without which the loss rises least; bring `rises` up to date until it is sure."""
    fresh: set[int] = set()
    while True:
        layer = min(rises, key=rises.__getitem__)
        if layer in fresh or len(rises) == 1:
            return layer
        rises[layer] = stack.loss_without(layer) - stack.loss
        fresh.add(layer)


class _Stack:
    """A model's layers, run by hand on one batch so that a pass can begin anywhere and pass over any of them."""

    def __init__(self, model: nn.Module, layers: nn.ModuleList, inputs: Inputs) -> None:
        self._model, self._layers, self._inputs = model, layers, inputs
        self._kept = list(range(len(layers)))
        self._given: list[dict[str, Any]] = [{} for _ in layers]
        self._states: dict[int, torch.Tensor] = {}  # layer → what goes into it
        self.loss = 0.0  # of the present stack: summed, nats

    def run(self) -> None:
        """Run the whole model once, and keep what each layer is given."""
        hooks = [
            layer.register_forward_pre_hook(self._see(i), with_kwargs=True)
            for i, layer in enumerate(self._layers)
        ]
        states = self._model.base_model(**self._inputs, use_cache=False).last_hidden_state
        self.loss = float(loss_of_states(self._model, states, self._inputs))
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
        return self._loss_of(state)

    def remove(self, layer: int) -> None:
        """Take the layer out for good."""
        state = self._states.pop(layer)
        for number in self._after(layer):
            self._states[number] = state
            state = self._layers[number](state, **self._given[number])
        self._kept.remove(layer)
        self.loss = self._loss_of(state)

    def _loss_of(self, state: torch.Tensor) -> float:
        normed = self._model.base_model.norm(state)
        return float(loss_of_states(self._model, normed, self._inputs))

    def _after(self, layer: int) -> list[int]:
        return [number for number in self._kept if number > layer]
