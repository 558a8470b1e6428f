"""Check a chat bundle's answers: are they those of the export, and how long does one take now?"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tuner.export.programs import run_program
from tuner.hardware import this_host
from tuner.metrics import Estimate


def check_answers(
    bundle: Path, report: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Return the claim about greedy tokens, that about a response's time, and notes, as `chat.py --check` finds them.

    `greedy_tokens` is the share of the stored check answers that is the same now: on the host of the export all of it,
    on another the last digits of a product may differ, and with them a choice between two like tokens. The time is
    raw, beside no baseline, and so is not judged.

    Raises:
        TunerError: the bundle does not answer.
    """
    command = [sys.executable, str(bundle.resolve() / "chat.py"), "--check", "--json"]
    found = json.loads(run_program(command, f"{bundle}/chat.py", good=(0, 1)).splitlines()[-1])
    same_host = this_host().fingerprint == report["host"].get("fingerprint")
    notes = [] if same_host else ["measured on another host than claimed"]
    return (
        _tokens_claim(bundle, found, same_host),
        _time_claim(report, found),
        [*found["differences"], *notes],
    )


def _tokens_claim(bundle: Path, found: Mapping[str, Any], same_host: bool) -> dict[str, Any]:
    stored = json.loads((bundle / "check.json").read_text())["prompts"]
    pairs = zip(stored, found["prompts"], strict=True)
    share = float(np.mean([a == b for s, f in pairs for a, b in zip(s["tokens"], f["tokens"], strict=True)]))
    holds = True if share == 1.0 else (False if same_host else None)
    return _claim("greedy_tokens", Estimate.exact(1.0).model_dump(), Estimate.exact(share), holds)


def _time_claim(report: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    times = sorted(1000.0 * seconds for seconds in found["seconds"])
    measured = Estimate(value=float(np.median(times)), low=times[0], high=times[-1])
    return _claim("latency_ms", report["metrics"].get("latency_ms"), measured, None)


def _claim(name: str, claimed: Any, measured: Estimate, holds: bool | None) -> dict[str, Any]:
    return {"metric": name, "claimed": claimed, "measured": measured.model_dump(), "holds": holds}
