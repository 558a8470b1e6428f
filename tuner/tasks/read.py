"""Read: from a study to its documents: found, cleaned of repetitions, limited, and split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tuner.errors import InputError
from tuner.spec.model import DataSpec, StudySpec
from tuner.spec.nearest import did_you_mean
from tuner.spec.sources import HubId, resolve
from tuner.tasks.documents import SPLITS, Documents, Split
from tuner.tasks.files import ENDINGS, read_files
from tuner.tasks.hub import read_hub
from tuner.tasks.split import cut, stratified_order
from tuner.tasks.table import Row, Table

_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass
class _Found:
    """Rows whose `split` is now one of SPLITS or None (to be divided), and what is known about them."""

    rows: list[Row] = field(default_factory=list)
    order: list[str] | None = None
    counts: Counter[str] = field(default_factory=Counter)


def documents(spec: StudySpec) -> Documents:
    """Return the study's documents in three splits; the same study and data always give the same ones.

    Repeated texts (but for white space) are dropped, so none is in two splits; of a text under two labels all
    copies are. Where the data has splits of its own, a repeated text stays in test, else in validation. With
    `data.label: null` there are no labels.

    Raises:
        InputError: no documents, one class only, labels missing, an unknown column, class or split, or too
            few documents of a class; the message begins with the field of the study that is concerned.
    """
    found = _find(spec)
    _clean(found, spec.data)
    labels = _labels(found, spec.data)
    _limit(found, spec)
    index = {label: i for i, label in enumerate(labels)}
    parts = _divide(found.rows, spec)
    splits = {
        name: Split([r.text for r in part], [index.get(r.label, -1) for r in part])
        for name, part in parts.items()
    }
    _check_splits(splits, labels, spec.data)
    return Documents(labels, splits, dict(found.counts))


def _find(spec: StudySpec) -> _Found:
    data, found = spec.data, _Found()
    place = HubId(*_hub_parts(data.source)) if data.format == "hub" else _resolved(spec)
    named = {name: part for name in SPLITS if isinstance(part := getattr(data.split, name), str)}
    for name, part in named.items() or [(None, None)]:
        table = _table(place, data, part)
        found.rows += [replace(row, split=name or _split_of(row, data)) for row in table.rows]
        found.order = found.order or table.label_order
        found.counts.update(read=len(table.rows), not_utf8=table.not_utf8)
    return found


def _hub_parts(source: str) -> tuple[str, str | None]:
    name, _, revision = source.partition("@")
    return name, revision or None


def _resolved(spec: StudySpec) -> Path | HubId:
    try:
        return resolve(spec.data.source, spec.base)
    except InputError as error:
        raise InputError(f"data.source: {error}") from None


def _table(place: Path | HubId, data: DataSpec, part: str | None) -> Table:
    if isinstance(place, HubId):
        return read_hub(place, data, part)
    return read_files(place if part is None else _part(place, part), data)


def _part(folder: Path, part: str) -> Path:
    """Return the file or folder inside `folder` that holds the split of this name."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    names = {p.stem if p.is_file() and p.suffix.lower() in ENDINGS else p.name: p for p in files}
    if part not in names:
        raise InputError(f"data.split: {folder} has no split {part!r}{did_you_mean(part, names)}")
    return names[part]


def _split_of(row: Row, data: DataSpec) -> str | None:
    if data.split.column is None:
        return None
    name = _SPLIT_NAMES.get((row.split or "").strip().lower())
    if name is None:
        raise InputError(
            f"data.split.column: {row.at} is in {row.split!r}; known are train, validation and test"
        )
    return name


def _clean(found: _Found, data: DataSpec) -> None:
    rows = [row for row in found.rows if row.text.strip()]
    found.counts["empty"] = len(found.rows) - len(rows)
    if not rows:
        raise InputError(f"data.source: {data.source} holds no document with text")
    if data.classes is not None:
        rows = list(_of_classes(rows, data.classes, found))
    found.rows = list(_distinct(rows, found.counts))


def _of_classes(rows: list[Row], classes: list[str], found: _Found) -> Iterator[Row]:
    known = dict.fromkeys([*(found.order or []), *sorted({row.label for row in rows})])
    for name in classes:
        if name not in known:
            raise InputError(f"data.classes: no document has the label {name!r}{did_you_mean(name, known)}")
    found.counts["other_classes"] = sum(row.label not in classes for row in rows)
    yield from (row for row in rows if row.label in classes)


def _distinct(rows: list[Row], counts: Counter[str]) -> Iterator[Row]:
    by_text: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: -SPLITS.index(row.split) if row.split else 0):
        by_text.setdefault(" ".join(row.text.split()), []).append(row)
    for copies in by_text.values():
        if len({row.label for row in copies}) > 1:
            counts["conflicting"] += len(copies)
        else:
            counts["duplicates"] += len(copies) - 1
            yield copies[0]


def _labels(found: _Found, data: DataSpec) -> list[str]:
    """Return the names of the labels that occur: in the data's own order, else by number, else by name."""
    if data.label is None:
        return []
    seen = {row.label for row in found.rows}
    if len(seen) < 2:
        only = f"only one class, {seen.pop()!r}" if seen else "no class"
        raise InputError(f"data.label: {data.source} has {only}; a classifier needs at least two")
    if found.order is not None:
        return [label for label in found.order if label in seen]
    return sorted(
        seen, key=lambda label: (not label.isdecimal(), int(label) if label.isdecimal() else 0, label)
    )


def _limit(found: _Found, spec: StudySpec) -> None:
    limit = spec.data.limit
    if limit is not None and limit < len(found.rows):
        order = stratified_order([f"{row.split} {row.label}" for row in found.rows], spec.seed)
        found.counts["beyond_limit"] = len(found.rows) - limit
        found.rows = [found.rows[i] for i in order[:limit]]


def _divide(rows: list[Row], spec: StudySpec) -> dict[str, list[Row]]:
    """Return the rows of each split: as they are marked, and the rest (or a part of train) by shares."""
    split = spec.data.split
    parts = {name: [row for row in rows if row.split == name] for name in SPLITS}
    if split.column is not None:
        return parts
    shares = {name: float(s) for name in SPLITS if not isinstance(s := getattr(split, name), str)}
    shares.setdefault("train", 1 - sum(shares.values()))
    pool = parts["train"] if isinstance(split.train, str) else rows
    order = stratified_order([row.label for row in pool], spec.seed)
    for name, stretch in zip(shares, cut(order, list(shares.values())), strict=True):
        parts[name] = [pool[i] for i in stretch]
    return parts


def _check_splits(splits: dict[str, Split], labels: list[str], data: DataSpec) -> None:
    for name, split in splits.items():
        if not split.texts:
            raise InputError(f"data.split: no document is left for {name}; {data.source} has too few")
    untaught = [label for i, label in enumerate(labels) if i not in set(splits["train"].labels)]
    if untaught:
        raise InputError(
            f"data.label: {untaught[0]!r} has no document in train: too few of it, or wrongly split"
        )
