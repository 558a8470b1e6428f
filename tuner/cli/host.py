"""`tuner backends`: what this host can run, and the reason for each no."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from tuner.cli.study import Json

if TYPE_CHECKING:
    from tuner.backends.base import Offer

_NAMES = {32: "fp32", 16: "16 bit", 8: "int8", 4: "int4", 3: "int3", 2: "int2"}


def backends(as_json: Json = False) -> None:
    """List engines, devices and precisions on this host, and why not."""
    from tuner.backends.registry import offers
    from tuner.cli.output import print_json, print_table, working
    from tuner.hardware import this_host

    with working():
        host = this_host()
        found = offers(host)
    if as_json:
        print_json(
            {"host": host.to_json(), "backends": [{"engine": name, **asdict(offer)} for name, offer in found]}
        )
        return
    memory = f"{host.memory_mb / 1000:.0f} GB"
    print(f"{host.cpu}, {len(host.cores)} cores, {memory}, {' '.join(host.flags) or 'no vector flags'}")
    print(f"power meter: {', '.join(host.meters) or f'none ({host.unmetered})'}")
    print_table(
        ["engine", "device", "task", "precision", "fixed shape", "here", "reason, note"],
        [_line(*pair) for pair in found],
    )


def _line(engine: str, offer: Offer) -> list[str]:
    precision = _NAMES[offer.bits] + ("" if offer.scheme == "none" else f" {offer.scheme}")
    if offer.group_sizes:
        precision += f" (groups of {', '.join(map(str, offer.group_sizes))})"
    if offer.methods:
        precision += f", {' or '.join(offer.methods)}"
    if offer.kv_bits:
        precision += f", cache of {', '.join(str(b) for b in offer.kv_bits if b)} bits"
    task = offer.task.removeprefix("text-")
    here, fixed = ("yes" if offer.available else "no"), ("yes" if offer.fixed_shape else "")
    said = "; ".join(text for text in (offer.reason, offer.note) if text)
    return [engine, offer.device, task, precision, fixed, here, " ".join(said.split())]
