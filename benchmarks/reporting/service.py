"""The service's table: what a trial costs beside its own work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.reporting.markdown import table, where

_DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def service(found: Mapping[str, Any]) -> str:
    """Return one column a database."""
    there = [name for name in _DATABASES if name in found]
    rows = [
        [
            "a trial through the service, beside its own work",
            *(_overhead(found[n], "service_ms") for n in there),
        ],
        ["the same, for Optuna (grouped TPE)", *(_overhead(found[n], "optuna_ms") for n in there)],
        [
            "claim to result, one worker",
            *(f"{found[n]['trials_per_second']['1']:.0f} a second" for n in there),
        ],
        ["`tuner status`, 200 studies, 100 000 trials", *(_reading(found[n], "status_s") for n in there)],
        ["`tuner list`, the same", *(_reading(found[n], "list_s") for n in there)],
    ]
    return f"{table(['', *(_DATABASES[n] for n in there)], rows)}\n\n{where(found['host'])}"


def _overhead(one: Mapping[str, Any], part: str) -> str:
    return f"{one['overhead']['tpe-grouped'][part]:.0f} ms"


def _reading(one: Mapping[str, Any], part: str) -> str:
    return f"{one['reading'][part]:.2f} s"
