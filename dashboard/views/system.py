"""The system as tables: workers, hosts, engines, queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

import pandas as pd

from dashboard.text import cut
from dashboard.views.numbers import bytes_text, moment_text, span_text
from tuner.service.disk import Disk
from tuner.service.lines import Overview, WorkerLine
from tuner.spec.wording import format_text

_STATES = {"alive": "alive", "lost": "silent", "gone": "left"}


def workers_table(overview: Overview, zone: tzinfo, now: datetime) -> pd.DataFrame:
    """Return one row a worker, the living first."""
    order = {"alive": 0, "lost": 1, "gone": 2}
    rows = [_worker(w, zone, now) for w in sorted(overview.workers, key=lambda w: (order[w.state], w.name))]
    return pd.DataFrame(rows)


def _worker(worker: WorkerLine, zone: tzinfo, now: datetime) -> dict[str, Any]:
    does = [f"{cut(study, 40)} #{trial}" for study, trial in worker.trials]
    does += [f"coordinates {cut(study, 40)}" for study in worker.coordinates]
    return {
        "Worker": cut(worker.name, 60),
        "State": _STATES[worker.state],
        "Does": ", ".join(does[:4]) or ("idle" if worker.state == "alive" else "–"),
        "Host": cut(worker.host or "–", 40),
        "Heartbeat": f"{span_text(worker.silent_s)} ago",
        "Cores": worker.cores,
        "Engines": [cut(e, 30) for e in worker.engines],
        "Labels": [cut(f"{k}={v}", 40) for k, v in worker.labels.items()],
        "Process": worker.pid,
        "Started": moment_text(worker.started, zone, now),
    }


def hosts_table(hosts: Sequence[Any]) -> pd.DataFrame:
    """Return one row a machine that ever measured."""
    rows = [
        {
            "Host": cut(h.name, 60),
            "Processor": cut(h.data.get("cpu", "unknown"), 80),
            "Cores": len(h.data.get("cores", ())),
            "Memory (GB)": (h.data.get("memory_mb") or 0) / 1000,
            "Instructions": [cut(f, 20) for f in h.data.get("flags", ())],
            "System": cut(h.data.get("os", ""), 40),
            "Python": cut(h.data.get("python", ""), 20),
            "Energy meter": cut(_meter(h.data), 160),
            "Fingerprint": h.fingerprint,
        }
        for h in hosts
    ]
    return pd.DataFrame(rows)


def _meter(host: Mapping[str, Any]) -> str:
    """Return a host's power meters, or why it has none."""
    why = host.get("unmetered")
    return ", ".join(map(str, host.get("meters") or ())) or ("none" + (f": {why}" if why else ""))


def queue_table(queue: Sequence[tuple[str, str, str, int]]) -> pd.DataFrame:
    """Return queued and running trials by study."""
    found: dict[str, dict[str, Any]] = {}
    for study, state, trials, count in queue:
        found.setdefault(study, {"Study": cut(study, 60), "State": state, "queued": 0, "running": 0})[
            trials
        ] = count
    return pd.DataFrame(list(found.values()), columns=["Study", "State", "queued", "running"]).rename(
        columns={"queued": "Trials queued", "running": "Trials running"}
    )


def cache_table(disk: Disk) -> pd.DataFrame:
    """Return what lies in this host's cache, a row for each kind of entry, the largest first."""
    whole = max(disk.size_bytes, 1)
    rows = [
        {
            "What": _KINDS.get(held.kind, cut(held.kind, 40)),
            "Entries": held.entries,
            "Size": bytes_text(held.size_bytes),
            "Share (%)": 100 * held.size_bytes / whole,
        }
        for held in disk.kinds
        if held.entries
    ]
    return pd.DataFrame(rows)


#: The cache's kinds in words, where the kind's own name does not say what it is.
_KINDS = {
    "build": "artefacts",
    "export": "exported graphs, shared by builds",
    "recover": "recovered students",
    "shape": "shaped checkpoints",
    "fine-tune": "fine-tuned teachers",
    "source": "models as they came",
    "partial": "unfinished entries",
}


def engines_table(capabilities: Sequence[tuple[str, Sequence[Sequence[Any]]]]) -> pd.DataFrame:
    """Return what each worker's engines offer, in one row for each engine and worker."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for worker, offers in capabilities:
        for engine, offer in offers:
            row = rows.setdefault(
                (worker, engine),
                {
                    "Worker": cut(worker, 60),
                    "Engine": cut(engine, 40),
                    "Device": offer["device"],
                    "Runs": [],
                    "Does not run": [],
                },
            )
            text = format_text(offer["bits"], offer["scheme"])
            if offer["available"]:
                row["Runs"].append(text)
            else:
                row["Does not run"].append(f"{text}: {cut(' '.join(offer['reason'].split()), 120)}")
    return pd.DataFrame(
        [
            {**r, "Runs": ", ".join(r["Runs"]) or "–", "Does not run": "; ".join(r["Does not run"]) or "–"}
            for r in rows.values()
        ]
    )
