"""Pipeline parallel: every rank has some of the layers, and passes on what it found.

Huang et al. 2019 (GPipe, section 2): a batch goes through in parts, so that all ranks have something to do. Single
requests gain nothing by it. Needs torch, transformers and safetensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe

from .shaped import fill, own_weights, skeleton
from .split import ENCODER_PLANS, family_refusal, pipeline_refusal
from .torch_formats import dtype_of, round_products

_PARTS = 4  # of a batch for each rank: with so many the ranks' waiting hardly counts (GPipe, section 2.3)
_KEPT = 64  # shapes of calls whose schedules are kept


def pipelined(folder: Path, described: Mapping[str, Any], device: torch.device, degree: int) -> Pipelined:
    """Return a model of which this rank has some layers: called by all ranks at once, each gets the whole answer.

    Only these layers are read and held. `described` says the format: `bits` and `scheme`.

    Raises:
        ValueError: the model cannot be divided so; the message says why.
    """
    model, rank, dtype = skeleton(folder), dist.get_rank(), dtype_of(described["bits"], described["scheme"])
    _check(model, degree)
    round_products(described["scheme"])
    own, outputs = own_weights(model), _outputs(model)
    stage = Stage(model, _bounds(model, degree)[rank], rank == 0, rank == degree - 1)
    for parameter in stage.parameters():
        parameter.data = torch.empty(parameter.shape, dtype=dtype)
    kept = {id(tensor) for tensor in (*stage.parameters(), *stage.buffers())}
    fill(own, folder, lambda tensor: (tensor, ()) if id(tensor) in kept else None)
    return Pipelined(stage.to(device), model.config, outputs, hasattr(model, "lm_head"), dtype)


class Stage(nn.Module):
    """The part of a model between two layers: hidden states (batch, sequence, hidden) in and out.

    The first takes tokens (batch, sequence), the last returns logits. `how` are more arguments of the model's call.
    """

    def __init__(self, model: nn.Module, mine: range, first: bool, last: bool) -> None:
        super().__init__()
        _keep_layers(model, mine)
        if not first:
            _drop_embeddings(model.base_model)
        if not last:
            _drop_end(model.base_model)
        self._model = model if last else model.base_model
        self._given, self._last = "input_ids" if first else "inputs_embeds", last
        self.how: dict[str, Any] = {}

    def forward(self, given: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return what the next stage needs, or the logits."""
        found = self._model(**{self._given: given}, attention_mask=attention_mask, **self.how)
        tensor: torch.Tensor = found.logits if self._last else found.last_hidden_state
        return tensor


class Pipelined(nn.Module):
    """All stages as one model: called by all ranks with the same tokens, it returns the same logits to all."""

    def __init__(self, stage: Stage, config: Any, outputs: int, causal: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.config, self._stage, self._causal = config, stage, causal
        self._rank, self._degree = dist.get_rank(), dist.get_world_size()
        self._outputs, self._dtype = outputs, dtype
        self._schedules: dict[tuple[int, ...], ScheduleGPipe] = {}

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        logits_to_keep: int | None = None,
        **how: Any,
    ) -> SimpleNamespace:
        """Return `logits` (batch, labels) of a classifier, (batch, sequence or `logits_to_keep`, vocabulary) else."""
        last = self._rank == self._degree - 1
        batch, length = (int(size) for size in input_ids.shape)
        rows = (logits_to_keep or length,) if self._causal else ()
        schedule = self._schedule(batch, length, rows, input_ids.device)
        keep = {} if logits_to_keep is None or not last else {"logits_to_keep": logits_to_keep}
        self._stage.how = {**how, **keep}
        mask = {} if attention_mask is None else {"attention_mask": attention_mask}
        logits = schedule.step(*([input_ids] if self._rank == 0 else []), **mask)
        if not last:
            logits = torch.empty((batch, *rows, self._outputs), dtype=self._dtype, device=input_ids.device)
        dist.broadcast(logits, self._degree - 1)
        return SimpleNamespace(logits=logits)

    def _schedule(
        self, batch: int, length: int, rows: tuple[int, ...], device: torch.device
    ) -> ScheduleGPipe:
        """Return the schedule for calls of this shape, made once: its buffers have one shape each."""
        shape = (batch, length, *rows)
        if shape not in self._schedules:
            if len(self._schedules) == _KEPT:
                self._schedules.pop(
                    next(iter(self._schedules))
                )  # the same on all ranks: they see the same calls
            self._schedules[shape] = self._made(batch, length, rows, device)
        return self._schedules[shape]

    def _made(self, batch: int, length: int, rows: tuple[int, ...], device: torch.device) -> ScheduleGPipe:
        parts, first, last = parts_of(batch, self._degree), self._rank == 0, self._rank == self._degree - 1
        each, wide = batch // parts, {"dtype": self._dtype, "device": "meta"}
        hidden = torch.empty((each, length, self.config.hidden_size), **wide)
        tokens = torch.empty((each, length), dtype=torch.int64, device="meta")
        logits = torch.empty((each, *rows, self._outputs), **wide)
        stage = PipelineStage(
            self._stage,
            self._rank,
            self._degree,
            device,
            input_args=(tokens if first else hidden,),
            output_args=(logits if last else hidden,),
        )
        return ScheduleGPipe(stage, parts)


def parts_of(batch: int, degree: int) -> int:
    """Return into how many equal parts a batch is cut: as many as all ranks want, if it can be divided so."""
    return max(n for n in range(1, min(batch, _PARTS * degree) + 1) if batch % n == 0)


def stages(costs: Sequence[int], head: int, degree: int) -> list[range]:
    """Return the layers of each stage, so that all have about as much to do; the last also the head.

    `costs` are those of the layers; each stage has one at least.
    """
    total, done, places = sum(costs) + head, 0.0, []
    for number, cost in enumerate(costs):
        wanted = int((done + cost / 2) / total * degree)
        places.append(min(max(wanted, degree - len(costs) + number), number, degree - 1))
        done += cost
    return [range(places.index(s), len(places) - places[::-1].index(s)) for s in range(degree)]


def _check(model: nn.Module, degree: int) -> None:
    config = model.config
    refusal = family_refusal(config.model_type, hasattr(model, "lm_head"))
    if refusal := refusal or pipeline_refusal(degree, config.num_hidden_layers):
        raise ValueError(refusal)


def _outputs(model: nn.Module) -> int:
    return int(model.lm_head.weight.shape[0]) if hasattr(model, "lm_head") else int(model.config.num_labels)


def _bounds(model: nn.Module, degree: int) -> list[range]:
    head = model.lm_head.weight.numel() if hasattr(model, "lm_head") else 0
    return stages([sum(p.numel() for p in layer.parameters()) for layer in _layers(model)], head, degree)


def _layers(model: nn.Module) -> nn.ModuleList:
    holder, name = _holder(model)
    layers: nn.ModuleList = getattr(holder, name)
    return layers


def _holder(model: nn.Module) -> tuple[nn.Module, str]:
    """Return what holds the layers, and under which name."""
    plan = next(iter(ENCODER_PLANS.get(model.config.model_type, ("layers.*",))))
    parent, _, name = plan.partition(".*")[0].rpartition(".")
    return model.base_model.get_submodule(parent), name


def _keep_layers(model: nn.Module, mine: range) -> None:
    """Keep these layers, and number them anew: caches and masks go by a layer's number."""
    holder, name = _holder(model)
    kept = [getattr(holder, name)[i] for i in mine]
    setattr(holder, name, nn.ModuleList(kept))
    model.config.num_hidden_layers = len(kept)
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = [model.config.layer_types[i] for i in mine]
    for number, layer in enumerate(kept):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = number


class _Given(nn.Module):
    """In the place of embeddings: what comes in is hidden states already."""

    def forward(
        self, input_ids: None = None, inputs_embeds: torch.Tensor | None = None, *_: Any, **__: Any
    ) -> Any:
        return inputs_embeds


def _drop_embeddings(base: nn.Module) -> None:
    name = "embed_tokens" if hasattr(base, "embed_tokens") else "embeddings"
    setattr(base, name, _Given())
    if hasattr(base, "embeddings_project"):
        base.embeddings_project = nn.Identity()


def _drop_end(base: nn.Module) -> None:
    if hasattr(base, "norm"):
        base.norm = nn.Identity()
    if hasattr(base, "pooler"):
        base.pooler = None
