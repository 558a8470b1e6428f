"""Logs: what a worker does, line by line on stderr, each line with its study, trial and worker.

What other libraries, and the store, say through the standard library's logging goes the same way.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

from tuner.service.events import Event
from tuner.spec.wording import headline

Format = Literal["text", "json"]
_Fields = MutableMapping[str, Any]
_LEVELS = {"trial-failed": logging.WARNING}
_NUMBERS = ("done", "total", "seconds_left", "best_speedup", "hypervolume")
#: Events after which what else is said belongs to their study and trial; after an end it is the study's alone.
_BEGINS, _ENDS = ("study-started", "trial-started", "stage", "confirming"), ("trial-finished", "trial-failed")


class Logs:
    """A listener that logs. Made once a process: it takes over the standard library's logging.

    Lines that come from elsewhere while a trial runs (of the store, from whichever thread) are that trial's too.
    """

    def __init__(self, worker: str, form: Format = "text", stream: TextIO | None = None) -> None:
        self._standing: dict[str, Any] = {"worker": worker, "study": None, "trial": None}
        self._log = structlog.stdlib.get_logger("tuner.worker")
        self._take_over(form, stream or sys.stderr)

    def __call__(self, event: Event) -> None:
        """Log one event."""
        if event.kind in _BEGINS:
            self._standing |= {"study": event.study, "trial": event.trial}
        level = _LEVELS.get(event.kind, logging.INFO)
        self._log.log(level, event.message, study=event.study, trial=event.trial, **_fields(event))
        if event.kind in _ENDS:
            self._standing["trial"] = None

    def say(self, message: str, level: int = logging.INFO) -> None:
        """Log a line about the worker itself."""
        self._log.log(level, message)

    def _take_over(self, form: Format, stream: TextIO) -> None:
        shared: list[structlog.typing.Processor] = [
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            self._stand,
        ]
        structlog.configure(
            processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        handler = logging.StreamHandler(stream)
        handler.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=shared,
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(form)],
            )
        )
        root = logging.getLogger()
        root.handlers = [handler]
        root.setLevel(logging.WARNING)  # of others only what is wrong
        logging.getLogger("tuner").setLevel(logging.INFO)
        logging.captureWarnings(True)

    def _stand(self, logger: Any, method: str, fields: _Fields) -> _Fields:
        """Add worker, study and trial to a line that does not name them itself."""
        for name, value in self._standing.items():
            fields.setdefault(name, value)
        return fields


def _fields(event: Event) -> dict[str, Any]:
    """Return what an event knows, null fields left out."""
    known = {name: getattr(event, name) for name in _NUMBERS}
    label = event.candidate.label() if event.candidate and event.kind != "stage" else ""
    known |= {"stage": event.stage, "candidate": label if label not in event.message else None}
    metrics = event.metrics or {}
    told = dict.fromkeys([*headline("accuracy"), *headline("perplexity")])
    known |= {name: found.value for name in told if (found := metrics.get(name)) is not None}
    rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in known.items()}
    return {"kind": event.kind, **{k: v for k, v in rounded.items() if v is not None}}


def _rendering(form: Format) -> list[Any]:
    renamed = structlog.processors.EventRenamer("message")
    written = structlog.processors.JSONRenderer(ensure_ascii=False) if form == "json" else _line
    return [structlog.processors.format_exc_info, renamed, written]


def _line(logger: Any, method: str, fields: _Fields) -> str:
    """Return `TIME LEVEL MESSAGE  worker=… study=… trial=… …`, with a dash for what is not known."""
    time, level, message, trace = (fields.pop(name, "") for name in ("time", "level", "message", "exception"))
    first = {name: fields.pop(name, None) for name in ("worker", "study", "trial")}
    pairs = " ".join(f"{name}={_plain(value)}" for name, value in {**first, **fields}.items())
    return f"{time} {level:<7} {' '.join(str(message).split())}  {pairs}" + (f"\n{trace}" if trace else "")


def _plain(value: Any) -> str:
    text = "-" if value is None else str(value)
    return repr(text) if set(text) & set(" =\n") else text
