"""Live progress of `tuner run`: a status block on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tuner.cli.output import console
from tuner.cli.table import latency, quality, times

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from tuner.service.events import Event

_LASTING = ("study-started", "trial-finished", "trial-failed", "confirming", "study-finished", "note")


class Progress:
    """Shows events as they come. A context manager: on a terminal it owns the lower lines of the screen."""

    def __init__(self, screen: Console | None = None) -> None:
        self._screen = screen or console(stderr=True)
        self._live: Any = None
        self._status = Status()

    def __enter__(self) -> Progress:
        if self._screen.is_terminal and not self._screen.is_dumb_terminal:
            from rich.live import Live

            self._live = Live(
                get_renderable=self._status.render, console=self._screen, refresh_per_second=4, transient=True
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        self._status.update(event)
        is_stage = self._live is None and event.kind == "stage" and event.trial is None
        if event.kind in _LASTING or is_stage:  # stages of a trial show in the status block only
            from rich.text import Text

            self._screen.print(Text(line(event)), soft_wrap=True)


class Status:
    """What is known at this moment: the newest value of each field that events bring."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._running, self._stage, self._since = "", "", time.monotonic()

    def update(self, event: Event) -> None:
        """Take over what an event says."""
        fields = ("done", "total", "seconds_left", "best_speedup", "hypervolume")
        self._known |= {name: value for name in fields if (value := getattr(event, name)) is not None}
        if event.kind == "trial-started" and event.candidate is not None:
            self._running, self._stage = f"trial {event.trial}  {event.candidate.label()}", ""
        elif event.kind in ("trial-finished", "trial-failed", "trial-repeated"):
            self._running, self._stage = "", ""
        elif event.kind == "confirming":
            self._running, self._stage = event.message, ""
            self._known.pop("seconds_left", None)  # the budget is spent: what is left is not known
        elif event.kind == "stage":
            self._stage = event.stage or ""
        if event.kind != "note":
            self._since = time.monotonic()

    def render(self) -> RenderableType:
        """Return the block: how far, what runs, and what was reached."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        done, total = self._known.get("done", 0), self._known.get("total")
        bar = Table.grid(padding=(0, 1))
        count = Text(f"{done} of {total} trials" if total else f"{done} trials")
        left = self._known.get("seconds_left")
        bar.add_row(ProgressBar(total=total, completed=done, width=30, pulse=total is None), count,
                    Text("" if left is None else f"about {duration(left)} left", style="dim"))  # fmt: skip
        seconds = f"{time.monotonic() - self._since:.0f} s"
        running = Text.assemble(
            (self._running or "preparing", "bold"), "  ", self._stage, "  ", (seconds, "dim"),
            overflow="ellipsis", no_wrap=True,
        )  # fmt: skip
        return Group(bar, running, Text(self.reached(), style="green"))

    def reached(self) -> str:
        """Return the best speedup and the hypervolume, as far as they are known."""
        best, volume = self._known.get("best_speedup"), self._known.get("hypervolume")
        parts = [] if best is None else [f"best feasible: {best:.1f}x the baseline's speed"]
        return ", ".join([*parts, *([] if volume is None else [f"hypervolume {volume:.3f}"])])


def line(event: Event) -> str:
    """Return an event as one plain line."""
    count = "" if event.done is None or event.kind == "study-started" else _count(event)
    if event.kind == "trial-finished" and event.candidate is not None:
        return f"{count}trial {event.trial}  {event.candidate.label()}  {measured(event)}{_standing(event)}"
    if event.kind == "trial-failed" and event.candidate is not None:
        first = (event.message.splitlines() or [""])[0]
        return f"{count}{first}  ({event.candidate.label()})"
    return f"{count}{event.message}"


def measured(event: Event) -> str:
    """Return a finished trial's headline numbers."""
    metrics = event.metrics or {}
    metric = next((name for name in ("accuracy", "f1_macro", "perplexity") if metrics.get(name)), "accuracy")
    told = [quality(metric, metrics.get(metric)), f"{latency(metrics.get('latency_ms'))} ms"]
    return ", ".join([*told, times(metrics.get("speedup"))])


def duration(seconds: float) -> str:
    """Return a time span as a person says it: 45 s, 3 min, 1 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _count(event: Event) -> str:
    return f"[{event.done}/{event.total}] " if event.total else f"[{event.done}] "


def _standing(event: Event) -> str:
    if event.best_speedup is None:
        return ""
    left = "" if event.seconds_left is None else f", about {duration(event.seconds_left)} left"
    volume = "" if event.hypervolume is None else f", hypervolume {event.hypervolume:.3f}"
    return f"  (best feasible {event.best_speedup:.1f}x{volume}{left})"
