"""Report: a study as one HTML file that stands alone, its picture in it; every word from outside is escaped."""

from __future__ import annotations

import base64
import importlib.metadata
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

import yaml

from tuner.metrics import LOSS, LOST, METRICS, OPEN, Estimate
from tuner.service.handle import StudyHandle
from tuner.service.rows import TrialRow
from tuner.spec.wording import asked_text, drawn_across, drawn_quality, generates, loaded, loss_unit

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --grey: #66727f; --line: #d9dfe6; --ground: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --grey: #9aa5b1; --line: #323a46; --ground: #0e1117 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem } p, td, th { text-align: left }
table { border-collapse: collapse; width: 100% }
td, th { padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
td.n { font-variant-numeric: tabular-nums; white-space: nowrap } .grey { color: var(--grey) }
img { width: 100%; background: #fff; border-radius: 6px }
pre { overflow-x: auto; padding: 1rem; border: 1px solid var(--line); border-radius: 6px }
tr.chosen td { font-weight: 600 }
"""
_COLUMNS = ("latency_ms", "speedup", "METRIC", "LOSS", "memory_mb", "size_mb")
_CHAT = ("latency_ms", "speedup", "METRIC", "LOSS", "agreement", "ttft_ms", "tpot_ms", "tokens_per_s", "memory_mb",
         "size_mb")  # fmt: skip
_NAMES = {"latency_ms": "Latency", "speedup": "Speedup", "memory_mb": "Memory", "size_mb": "Size",
          "server_rate": "Largest rate", "server_p99_ms": "p99 under load",
          "ttft_ms": "First token", "tpot_ms": "Each further token", "tokens_per_s": "Tokens"}  # fmt: skip


def report_html(study: StudyHandle, chosen: int | None = None) -> str:
    """Return the page; `chosen` is a trial that it is about, beside the front.

    Raises:
        NotFoundError: there is no such trial.
    """
    front = study.front_rows()
    picked = None if chosen is None else study.row(chosen)
    parts = [
        f"<h1>{escape(study.name)}</h1>",
        f'<p class="grey">{escape(_about(study))}</p>',
        _chosen(study, picked) if picked else "",
        f'<h2>The front</h2><img alt="{_axis(study)} against {_across(study)} of all measured candidates" '
        f'src="data:image/png;base64,{_picture(study)}">',
        _table(study, front, picked) if front else "<p>No trial meets the constraints.</p>",
        _growth(study),
        f"<h2>The study</h2><pre>{escape(_file(study.spec))}</pre>",
    ]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(study.name)}: the front</title>'
        f"<style>{_STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>"
    )


def _about(study: StudyHandle) -> str:
    spec, host = study.spec, study.host
    parts = [
        f"{study.state}; {asked_text(spec['scenario'], spec['metric'])}",
        f"{host.get('cpu', 'unknown processor')}, {len(host.get('cores', ()))} cores",
        "constraints: " + (" and ".join(study.spec["constraints"]) or "none"),
        f"written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by tuner {importlib.metadata.version('tuner')}",
    ]
    return " · ".join(parts)


def _axis(study: StudyHandle) -> str:
    return drawn_quality(study.spec["metric"]).replace("_", " ").capitalize()


def _across(study: StudyHandle) -> str:
    speed = drawn_across(study.spec["objectives"], study.spec["scenario"])
    names = {"latency_ms": "latency", "server_rate": "largest rate", "server_p99_ms": "latency under load"}
    return names.get(speed) or speed.replace("_", " ")


def _chosen(study: StudyHandle, row: TrialRow) -> str:
    changes = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(str(base))}</td><td>{escape(str(own))}</td></tr>"
        for name, (base, own) in row.differences(study.baseline).items()
    )
    table = (
        f"<table><tr><th>field</th><th>baseline</th><th>this point</th></tr>{changes}</table>"
        if changes
        else "<p>This is the baseline.</p>"
    )
    reason = f"<p>{escape(row.reason)}</p>" if row.reason else ""
    differs = f"<h2>What differs from the baseline</h2>{table}"
    return f"<h2>Trial {row.number}</h2>{reason}{_table(study, [row], row)}{differs}"


def _table(study: StudyHandle, rows: Sequence[TrialRow], chosen: TrialRow | None) -> str:
    metric = str(study.spec["metric"])
    columns = (*loaded(study.spec["scenario"]), *(_CHAT if generates(metric) else _COLUMNS))
    names = [{"METRIC": metric, "LOSS": LOSS[metric]}.get(name, name) for name in columns]
    heads = "".join(f"<th>{escape(_NAMES.get(n, n.replace('_', ' ')))}</th>" for n in names)
    lines = []
    for row in rows:
        mark = ' class="chosen"' if chosen is not None and row.number == chosen.number else ""
        cells = "".join(f'<td class="n">{escape(value(n, row.estimate(n)))}</td>' for n in names)
        lines.append(f"<tr{mark}><td>{row.number}</td><td>{escape(row.candidate.label())}</td>{cells}</tr>")
    return f"<table><tr><th>trial</th><th>candidate</th>{heads}</tr>{''.join(lines)}</table>"


def value(name: str, found: Estimate | None) -> str:
    """Return a metric with unit and 95 % interval."""
    if found is None:
        return "–"
    unit = METRICS[name][0]
    scale, text = (
        (100.0, f" {loss_unit(name) if name in LOST else '%'}")
        if unit == "fraction"
        else (1.0, {"x": "×", "": ""}.get(unit, f" {unit}"))
    )
    if found.high >= OPEN:
        return f"over {found.value * scale:.3g}{text}"
    spread = "" if found.low == found.high else f" ({found.low * scale:.3g} to {found.high * scale:.3g})"
    return f"{found.value * scale:.3g}{text}{spread}"


def _picture(study: StudyHandle) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from tuner.service.plot import draw, drawn

    target = io.BytesIO()
    FigureCanvasAgg(draw(drawn(study))).print_figure(target, dpi=130, format="png")
    return base64.b64encode(target.getvalue()).decode()


def _growth(study: StudyHandle) -> str:
    """Return how the hypervolume grew, as a picture; nothing where there were too few trials."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    grown = [100 * value for value in study.study.summary.get("history", []) if value is not None]
    if len(grown) < 2:
        return ""
    figure, target = Figure(figsize=(8, 2.6), layout="constrained"), io.BytesIO()
    axes = figure.add_subplot(xlabel="trials measured", ylabel="hypervolume (%)", ylim=(0, max(grown) * 1.08))
    axes.step(range(1, len(grown) + 1), grown, where="post", color="#0B63B0")
    axes.grid(alpha=0.3)
    FigureCanvasAgg(figure).print_figure(target, dpi=130, format="png")
    encoded = base64.b64encode(target.getvalue()).decode()
    return f'<h2>How it grew</h2><img alt="Hypervolume over trials" src="data:image/png;base64,{encoded}">'


def _file(spec: Any) -> str:
    """Return the specification as YAML, without the folder it came from: a report goes to others."""
    plain = {key: value for key, value in dict(spec).items() if key != "base" and value not in (None, {}, [])}
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
