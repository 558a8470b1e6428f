"""Hub: a data set of the Hugging Face Hub read into a Table."""

from __future__ import annotations

from typing import Any

from tuner.errors import InputError
from tuner.spec.model import DataSpec
from tuner.spec.nearest import did_you_mean
from tuner.spec.sources import HubId, hub_error
from tuner.tasks.table import Row, Table, rows_of, wanted_columns


def read_hub(hub: HubId, data: DataSpec, split: str | None) -> Table:
    """Download (once) and read one split of a Hub data set; None reads `train`.

    Raises:
        InputError: the Hub cannot be reached, or has no such data set, split or column.
    """
    dataset = _load(hub, split or "train")
    wanted = wanted_columns(data)
    columns = {name: list(dataset[name]) if name in wanted else [] for name in dataset.column_names}
    rows = rows_of(columns, data, str(hub), range(dataset.num_rows))
    # A ClassLabel holds numbers and knows their names.
    names = None if data.label is None else getattr(dataset.features[data.label], "names", None)
    if names is None:
        return Table(rows)
    named = [Row(row.text, _name(names, row), row.split, row.at) for row in rows]
    return Table(named, label_order=list(names))


def _name(names: list[str], row: Row) -> str:
    if not row.label.isdigit() or int(row.label) >= len(names):  # -1 is the Hub's mark of a hidden label
        raise InputError(f"data.label: {row.at} has no label ({row.label}); choose a split with labels")
    return names[int(row.label)]


def _load(hub: HubId, split: str) -> Any:
    import datasets

    try:
        found = datasets.load_dataset(hub.id, revision=hub.revision)
    except Exception as error:  # offline, missing, gated, script-based: each has a class of its own
        raise hub_error(hub, "data set", error) from error
    if split not in found:
        raise InputError(f"data.split: {hub} has no split {split!r}{did_you_mean(split, found)}")
    return found[split]
