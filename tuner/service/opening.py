"""Opening a study: the same file goes on where it stopped; another one under the same name is refused."""

from __future__ import annotations

from typing import Any

from tuner.errors import InputError
from tuner.hardware import Host
from tuner.spec.model import StudySpec
from tuner.store import Store
from tuner.store.records import Study

#: What may differ between two runs of one study: how long to search and what a child may take.
_FREE = ("budget", "limits", "measure", "tags")


def open_study(store: Store, spec: StudySpec, host: Host | None = None) -> Study:
    """Return the study of that name, new or to be continued; `host` is who is to run it, None for any worker.

    Raises:
        InputError: one of that name exists with another specification, or was measured on another host.
    """
    found = store.find_study(spec.name)
    if found is None:
        return store.create_study(spec.to_plain())
    if found.state == "failed" and not store.trials(found):  # its file was wrong, and may have been put right
        return store.replan(found, spec.to_plain())
    changed = _changes(dict(found.spec), spec.to_plain())
    if changed:
        raise InputError(
            f"study {spec.name!r} exists and differs in {', '.join(changed)}; "
            f"run this one under another name (--set name=…)"
        )
    elsewhere = found.host is not None and host is not None and found.host.fingerprint != host.fingerprint
    if spec.hosts == "one" and elsewhere and found.host is not None:
        raise InputError(
            f"study {spec.name!r} was measured on {found.host.name} and this host differs: latencies of two hosts "
            "do not share a front; run this one under another name (--set name=…)"
        )
    return store.replan(found, {name: spec.to_plain()[name] for name in _FREE if name in spec.to_plain()})


def _changes(stored: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted names of the fields that differ, the free ones aside."""
    changed: list[str] = []
    for key in sorted({*stored, *wanted}):
        name, one, two = prefix + key, stored.get(key), wanted.get(key)
        if name in _FREE or one == two:
            continue
        if isinstance(one, dict) and isinstance(two, dict):
            changed += _changes(one, two, f"{name}.")
        else:
            changed.append(name)
    return changed
