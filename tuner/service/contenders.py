"""Contenders: what may be compared: studies, and the hosts of one study that several hosts measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from tuner.errors import InputError, NotFoundError
from tuner.metrics import COSTS
from tuner.service.history import history
from tuner.service.placing import place
from tuner.spec.nearest import did_you_mean

if TYPE_CHECKING:
    from tuner.service.desk import StudyInfo


@dataclass(frozen=True)
class Subject:
    """A study, or with `host` (a fingerprint) what one host measured of it; `host_name` where there is only one."""

    study: str
    host: str | None = None
    host_name: str | None = None


@dataclass(frozen=True)
class Contender:
    """A subject's trials with their front, how it grew, and its hypervolume (0 to 1)."""

    subject: Subject
    info: StudyInfo
    frame: pd.DataFrame
    grown: pd.DataFrame
    hypervolume: float | None
    baseline_ms: float | None


def subjects(studies: Sequence[str], measured: Sequence[tuple[str, str, str]]) -> dict[str, Subject]:
    """Return all subjects by a name that tells them apart; `measured` are study, fingerprint and name of hosts."""
    hosts: dict[str, list[tuple[str, str]]] = {}
    for study, fingerprint, name in measured:
        hosts.setdefault(study, []).append((fingerprint, name))
    found: dict[str, Subject] = {}
    for study in studies:
        of = hosts.get(study, [])
        found[study] = Subject(study, None, of[0][1] if len(of) == 1 else None)
        if len(of) > 1:
            found |= _by_host(study, of)
    return found


def chosen(known: Mapping[str, Subject], names: Sequence[str]) -> dict[str, Subject]:
    """Return the subjects that a person names; one study's alone are its hosts.

    Raises:
        NotFoundError: there is no such study or host.
        InputError: one study that only one host measured.
    """
    for name in names:
        if name not in known:
            raise NotFoundError(f"no study {name!r}{did_you_mean(name, list(known))}")
    if len(names) > 1:
        return {name: known[name] for name in names}
    hosts = {s.host_name or "": s for s in known.values() if s.study == names[0] and s.host is not None}
    if not hosts:
        raise InputError(
            f"study {names[0]!r}: not measured by several hosts: name another study to compare it with"
        )
    return hosts


def _by_host(study: str, hosts: Sequence[tuple[str, str]]) -> dict[str, Subject]:
    """Return a subject for each host; two of one name are told apart by their fingerprints."""
    names = Counter(name for _, name in hosts)
    shown = [name if names[name] == 1 else f"{name} {fingerprint[:8]}" for fingerprint, name in hosts]
    pairs = zip(shown, hosts, strict=True)
    return {f"{study} on {label}": Subject(study, fp, label) for label, (fp, _) in pairs}


def contender(info: StudyInfo, frame: pd.DataFrame, subject: Subject) -> Contender:
    """Return a study as it stands, or the part of one host with a front and a history of its own."""
    if subject.host is None:
        volume = info.summary.get("hypervolume")
        return Contender(subject, info, frame, history(frame, info.objectives), volume, info.baseline_ms)
    here = frame[frame["host"] == subject.host].copy()
    place(here, info.objectives, apart=False)
    clock = info.clocks.get(subject.host)
    grown = history(here, info.objectives, _origin(info, frame, clock))
    known = grown["hypervolume"].dropna()
    return Contender(subject, info, here, grown, float(known.iloc[-1]) if len(known) else None, clock)


def _origin(info: StudyInfo, frame: pd.DataFrame, clock: float | None) -> Mapping[str, float]:
    """Return the baseline's values on a host: its own latency there, all else as where it was measured."""
    base = frame[frame["is_baseline"] & (frame["state"] == "complete")]
    if base.empty or clock is None or {"energy_j", *COSTS} & {*info.objectives}:
        return {}  # what it took elsewhere says nothing of what it takes here
    row = base.iloc[0]
    values = {name: float(row[f"search_{name}"]) for name in info.objectives}
    slower = clock / float(row["search_latency_ms"])
    own = {name: value * slower for name, value in values.items() if name.startswith("latency")}
    return {
        **values,
        **own,
        **({"throughput": values["throughput"] / slower} if "throughput" in values else {}),
    }
