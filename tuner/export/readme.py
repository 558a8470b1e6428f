"""The README of a bundle: what it is, how to run it, and the numbers with their intervals and the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.candidate import Candidate
from tuner.export.kinds import CHAT, Kind
from tuner.metrics import OPEN
from tuner.spec.wording import demand_text, serves, unit_text

_LOAD = (
    "`server_…` are under that load, waiting included, and not corrected for drift; to serve so takes as many "
    "replicas as below, one line for all of them, and up to `max_batch` waiting requests in a call."
)


def readme(candidate: Candidate, report: Mapping[str, Any], subject: str, kind: Kind) -> str:
    """Return the text. `report` is the bundle's: study, trial, host, metrics, search_metrics, confirmed.

    `subject` says what the bundle is, such as "A text classifier (sport, business)".
    """
    again = (
        "\nThe artefact was **built again** after these numbers were taken: `tuner verify` measures it.\n"
        if report.get("rebuilt")
        else ""
    )
    how = (
        "confirmed on the test split"
        if report["confirmed"]
        else "measured on the validation split, not confirmed"
    )
    return f"""# {report["study"]}, trial {report["trial"]}

{subject} as the search chose it: `{candidate.label()}`.

```
{kind.usage}
```

## Measured ({how})

{_host(report["host"])} {_scenario(report["scenario"], kind)}

| metric | value | 95 % interval | in the search |
|---|---|---|---|
{_rows(report["metrics"], report["search_metrics"])}

{kind.against}
Latencies are corrected for the machine's drift; on another machine measure again.
{again}
## The configuration (`config.yaml`)

| part | choice |
|---|---|
{_parts(candidate)}

`sha256sum -c MANIFEST.sha256` checks that the files are as they were written.
"""


def _host(host: Mapping[str, Any]) -> str:
    found = [host.get("cpu") or "an unknown processor", f"{len(host.get('cores', []))} cores", host.get("os")]
    return f"Host: {', '.join(text for text in found if text)}."


def _scenario(scenario: Mapping[str, Any], kind: Kind) -> str:
    if kind is CHAT:
        return (
            f"Scenario: {scenario['prompt_tokens']} tokens of prompt, {scenario['new_tokens']} of answer, "
            f"{scenario['clients']} at a time."
        )
    length = scenario["sequence_length"]
    tokens = "the data's own lengths" if length == "data" else f"{length} tokens"
    if serves(scenario):
        return f"Scenario: server, Poisson arrivals of one document each: {demand_text(scenario)}; {tokens}. {_LOAD}"
    return f"Scenario: {scenario['mode']}, batch {scenario['batch']}, {tokens}."


def _rows(metrics: Mapping[str, Any], search: Mapping[str, Any]) -> str:
    rows = []
    for name, found in metrics.items():
        if found is not None:
            spread = _spread(found["low"], found["high"])
            before = search.get(name)
            searched = "–" if before is None else f"{before['value']:.4g}"
            rows.append(f"| {unit_text(name)} | {found['value']:.4g} | {spread} | {searched} |")
    return "\n".join(rows)


def _spread(low: float, high: float) -> str:
    if high >= OPEN:
        return f"{low:.4g} or more"
    return f"{low:.4g} to {high:.4g}" if low < high else "exact"


def _parts(candidate: Candidate) -> str:
    parts = candidate.canonical()
    return "\n".join(
        f"| {part} | {', '.join(f'{k} {v}' for k, v in fields.items())} |" for part, fields in parts.items()
    )
