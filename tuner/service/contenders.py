"""Contenders: what may be compared: studies, and the hosts of one study that several hosts measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from tuner.service.history import history
from tuner.service.placing import place

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
    if base.empty or clock is None:
        return {}
    row = base.iloc[0]
    values = {name: float(row[f"search_{name}"]) for name in info.objectives}
    slower = clock / float(row["search_latency_ms"])
    own = {name: value * slower for name, value in values.items() if name.startswith("latency")}
    return {
        **values,
        **own,
        **({"throughput": values["throughput"] / slower} if "throughput" in values else {}),
    }
