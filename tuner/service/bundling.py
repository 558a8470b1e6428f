"""Bundling: a trial's bundle as a zip that is written while it is sent, and the YAML of its candidate.

A ticket stands for one trial for some minutes: whoever may see the trial is given one, and the download asks for
nothing else. So no name, path or number from a browser reaches the file system.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import yaml

from tuner.candidate import Candidate
from tuner.errors import NotFoundError
from tuner.service.handle import StudyHandle
from tuner.store import Store, tuner_home

_MINUTES = 30.0
_MOST = 1000  # tickets that are valid at once
_CHUNK = 1 << 20
_COMPRESSED = (".json", ".txt", ".md", ".py", ".yaml", ".xml")


@dataclass(frozen=True)
class Ticket:
    """One trial of one study, until `ends` (of the monotonic clock)."""

    study: str
    trial: int
    ends: float


@dataclass
class Tickets:
    """Tickets of one server process."""

    _known: dict[str, Ticket] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def give(self, study: str, trial: int) -> str:
        """Return a word that stands for the trial for half an hour; the same one while half of that is left."""
        now = time.monotonic()
        with self._lock:
            self._known = {w: t for w, t in self._known.items() if t.ends > now}
            for word, ticket in self._known.items():
                if (ticket.study, ticket.trial) == (study, trial) and ticket.ends - now > _MINUTES * 30:
                    return word
            while len(self._known) >= _MOST:
                self._known.pop(next(iter(self._known)))
            word = secrets.token_urlsafe(24)
            self._known[word] = Ticket(study, trial, now + _MINUTES * 60)
            return word

    def take(self, word: str) -> Ticket:
        """Return what a word stands for.

        Raises:
            NotFoundError: it was never given, or its time is over.
        """
        with self._lock:
            ticket = self._known.get(word)
        if ticket is None or ticket.ends <= time.monotonic():
            raise NotFoundError("this download link is no longer valid; open the export page again")
        return ticket


def write_bundle_aside(store: Store, study: str, trial: int) -> Path:
    """Write a trial's bundle into a folder of its own under the home and return it; `remove_aside` it afterwards.

    Raises:
        TunerError: it cannot be exported.
    """
    handle = StudyHandle.of(store, store.get_study(study))
    folder = tuner_home() / "exports"
    folder.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix="bundle-", dir=folder))
    try:
        return handle.pick(trial=trial).export(aside / f"{study}-trial-{trial}")
    except BaseException:
        remove_aside(aside)
        raise


def remove_aside(bundle: Path) -> None:
    """Remove what `write_bundle_aside` wrote."""
    inner = bundle if bundle.parent.name == "exports" else bundle.parent
    shutil.rmtree(inner, ignore_errors=True)


class _Pipe:
    """A file that can only be written, whose content is taken away piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""

    def taken(self) -> bytes:
        data, self.pieces = b"".join(self.pieces), []
        return data


def zipped(bundle: Path) -> Iterator[bytes]:
    """Yield a bundle as a zip, at most about a megabyte in memory; weights are stored as they are."""
    pipe = _Pipe()
    with zipfile.ZipFile(cast("IO[bytes]", pipe), "w") as archive:
        for path in sorted(p for p in bundle.rglob("*") if p.is_file() and not p.is_symlink()):
            info = zipfile.ZipInfo.from_file(
                path, f"{bundle.name}/{path.relative_to(bundle)}", strict_timestamps=False
            )
            info.compress_type = zipfile.ZIP_DEFLATED if path.suffix in _COMPRESSED else zipfile.ZIP_STORED
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                while piece := source.read(_CHUNK):
                    target.write(piece)
                    yield pipe.taken()
    yield pipe.taken()


def candidate_yaml(candidate: Candidate) -> str:
    """Return the YAML of a candidate, as a bundle's `config.yaml` holds it."""
    return str(yaml.safe_dump(candidate.canonical(), sort_keys=False))
