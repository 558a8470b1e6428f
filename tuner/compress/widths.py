"""Widths: how many heads and neurons of a layer stay, by the shares that are removed. Plain arithmetic, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Neurons of a language model stay in such multiples: vector units and groups of 4-bit weights are filled. Narrow
#: models use the other.
WIDE, NARROW = 64, 8


def kept_heads(heads: int, ratio: float) -> int:
    """Return how many heads of an encoder's layer stay."""
    return max(1, round((1 - ratio) * heads))


def kept_neurons(neurons: int, ratio: float) -> int:
    """Return how many neurons of an encoder's layer stay: a multiple that vector units fill, or all."""
    multiple = 32 if neurons >= 256 else 8
    rounded = round((1 - ratio) * neurons / multiple) * multiple
    return neurons if ratio == 0 else min(neurons, max(multiple, rounded))


def kept_groups(groups: int, queries: int, hidden: int, llama: bool, ratio: float) -> int:
    """Return how many key-value groups of so many query heads stay: the nearest to the share, of equals the larger.

    Transformers takes a llama's configuration only where its query heads divide the hidden size.
    """
    fits = [n for n in range(1, groups + 1) if not llama or hidden % (n * queries) == 0]
    return groups if ratio == 0 else min(reversed(fits), key=lambda n: abs(n - (1 - ratio) * groups))


def kept_wide_neurons(neurons: int, ratio: float) -> int:
    """Return how many neurons of a language model's layer stay."""
    multiple = WIDE if neurons >= 8 * WIDE else NARROW
    rounded = round((1 - ratio) * neurons / multiple) * multiple
    return neurons if ratio == 0 else min(neurons, max(multiple, rounded))


def kept_widths(anatomy: Mapping[str, Any], heads: float, ffn: float) -> tuple[int, int]:
    """Return (key-value) heads and neurons of each layer after these shares are removed.

    `anatomy` is what `anatomy.describe` says of the teacher.
    """
    count, neurons = int(anatomy["heads"]), int(anatomy["ffn"])
    if "queries" not in anatomy:
        return kept_heads(count, heads), kept_neurons(neurons, ffn)
    llama = anatomy["family"] == "llama"
    groups = kept_groups(count, int(anatomy["queries"]), int(anatomy["hidden"]), llama, heads)
    return groups, kept_wide_neurons(neurons, ffn)
