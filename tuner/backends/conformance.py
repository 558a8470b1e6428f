"""The conformance suite of engines: what every backend, ours or a third party's, must pass for each offer.

>>> findings = check(plugin, offer, checkpoint, inputs, workdir, max_length=64)  # doctest: +SKIP
>>> assert not findings  # doctest: +SKIP
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tuner.backends.agreement import relative_error, source_logits
from tuner.backends.base import BackendPlugin, BuildRequest, Offer
from tuner.candidate import Quantization
from tuner.runtime.loader import load_session

_KEYS = {
    "engine",
    "device",
    "bits",
    "scheme",
    "session",
    "inputs",
    "fixed_shape",
    "max_length",
    "requirements",
}
_PICKLES = (".pkl", ".pickle", ".pt", ".bin.index", ".pth", ".joblib")
_BATCHES = (1, 2, 5)


def check(
    plugin: BackendPlugin,
    offer: Offer,
    checkpoint: Path,
    inputs: Path,
    workdir: Path,
    max_length: int,
    fixed_shape: tuple[int, int] | None = None,
) -> list[str]:
    """Build one offer and return what is wrong with it; an empty list is a pass.

    Args:
        plugin: the engine.
        offer: one of its available offers.
        checkpoint: a shaped checkpoint directory.
        inputs: an .npz of encoded documents (documents, sequence) with real padding; also used to calibrate.
        workdir: a directory for artefacts and their cache, of one checkpoint; other offers' may be there.
        max_length: tokens that the model takes.
        fixed_shape: also checks the fixed-shape build of an offer that has one.
    """
    shape = "fixed" if fixed_shape else "free"
    out, cache = workdir / f"{plugin.name}-{offer.bits}-{offer.scheme}-{shape}", workdir / "cache"
    out.mkdir(parents=True)
    cache.mkdir(exist_ok=True)
    group = offer.group_sizes[0] if offer.group_sizes else None
    wanted = Quantization(bits=offer.bits, scheme=offer.scheme, group_size=group)  # type: ignore[arg-type]
    plugin.build(BuildRequest(checkpoint, wanted, offer.device, fixed_shape, max_length, inputs, cache), out)
    session = load_session(out, threads=1)
    with np.load(inputs) as arrays:
        given = {name: arrays[name] for name in ("input_ids", "attention_mask")}
    longest = fixed_shape[1] if fixed_shape else max_length
    return [*description(out), *_answers(session, checkpoint, given, offer.tolerance, longest)]


def description(out: Path) -> Iterator[str]:
    """Yield what is wrong with an artefact's description and files: keys that lack, loose requirements, pickles."""
    lacking = _KEYS - json.loads((out / "artefact.json").read_text()).keys()
    if lacking:
        yield f"artefact.json lacks {sorted(lacking)}"
    described = json.loads((out / "artefact.json").read_text())
    yield from (f"requirement {pin!r} is not pinned" for pin in described["requirements"] if "==" not in pin)
    yield from (
        f"{p.name}: pickled files are not allowed" for p in out.rglob("*") if p.name.endswith(_PICKLES)
    )


def _answers(
    session: Any, checkpoint: Path, given: dict[str, np.ndarray], tolerance: float, longest: int
) -> Iterator[str]:
    for batch in _BATCHES:
        for length in sorted({4, 7, min(longest, given["input_ids"].shape[1]), longest}):
            yield from _one_shape(session, checkpoint, given, tolerance, batch, length)
    yield from _all_documents(session, checkpoint, given, tolerance, longest)
    yield from _masked_tokens(session, given, tolerance, longest)
    if session.fixed_shape:
        yield from _too_long(session, longest)


def _one_shape(
    session: Any, checkpoint: Path, given: dict[str, np.ndarray], tolerance: float, batch: int, length: int
) -> Iterator[str]:
    """Check one batch and length: shape, type and finite numbers (so few say little of the error)."""
    fed = _sized(given, batch, length)
    found = np.asarray(session.run(fed))
    expected = source_logits(checkpoint, fed)
    if found.shape != expected.shape or found.dtype != np.float32 or not np.isfinite(found).all():
        yield f"batch {batch}, length {length}: {found.dtype} {found.shape}, or not finite"
    elif np.abs(found - expected).max() > 3 * tolerance * max(float(np.abs(expected).max()), 1e-3):
        yield f"batch {batch}, length {length}: off by {np.abs(found - expected).max():.3g}"


def _all_documents(
    session: Any, checkpoint: Path, given: dict[str, np.ndarray], tolerance: float, longest: int
) -> Iterator[str]:
    fed = {name: array[:, :longest] for name, array in given.items()}
    error = relative_error(source_logits(checkpoint, fed), np.asarray(session.run(fed)))
    if error > tolerance:
        yield f"relative error {error:.3g} over all documents, tolerance {tolerance:g}"


def _masked_tokens(
    session: Any, given: dict[str, np.ndarray], tolerance: float, longest: int
) -> Iterator[str]:
    """Check that tokens under the mask say nothing: an exporter may drop the mask, and quietly."""
    fed = {name: array[:, :longest] for name, array in given.items()}
    other = np.where(fed["attention_mask"] == 1, fed["input_ids"], np.roll(fed["input_ids"], 1, axis=1) + 1)
    changed = relative_error(session.run(fed), session.run({**fed, "input_ids": other}))
    if changed > tolerance / 3:
        yield f"tokens under the attention mask change the answers, by {changed:.3g}"


def _too_long(session: Any, longest: int) -> Iterator[str]:
    ones = np.ones((1, longest + 1), dtype=np.int64)
    try:
        session.run({"input_ids": ones, "attention_mask": ones.copy()})
    except ValueError:
        return
    yield "a sequence longer than the fixed shape is not refused with ValueError"


def _sized(given: dict[str, np.ndarray], batch: int, length: int) -> dict[str, np.ndarray]:
    """Return documents repeated or cut to (batch, length), the last of a batch half padded."""
    ids = np.resize(given["input_ids"][:, : min(length, given["input_ids"].shape[1])], (batch, length)).copy()
    mask = np.ones_like(ids)
    if batch > 1:
        mask[-1, length // 2 :] = 0
    return {"input_ids": ids, "attention_mask": mask}
