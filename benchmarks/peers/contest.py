"""Contest: each peer in turn, alone on the machine, in its own environment, for the same time; then our own tool."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.peers.environments import InstallError, environment_for
from benchmarks.peers.lines import configuration_lines, written_by_user
from benchmarks.peers.ours import NAME, run_ours
from benchmarks.peers.running import Outcome, run_limited
from tuner.pipeline.quiet import Quiet

PEERS = Path(__file__).parent
#: No hub is needed, and nobody's telemetry is to wait for a network.
_SETTINGS = {"HF_HUB_OFFLINE": "1", "OLIVE_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Contestant:
    """How a peer's run went; `lines` are those of configuration that its user wrote. Seconds of wall time."""

    name: str
    outcome: Outcome
    lines: int
    install_seconds: float | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def save(self, file: Path) -> None:
        """Keep it, for a measurement that is repeated later."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, file: Path) -> Contestant:
        """Read what `save` wrote."""
        stored = json.loads(file.read_text())
        return cls(**{**stored, "outcome": Outcome(**stored["outcome"])})


@dataclass(frozen=True)
class Yard:
    """Where everything lies: `work` holds environments, inputs, logs and all that the contestants made."""

    work: Path
    minutes: float
    peers: Path = PEERS

    def out(self, name: str) -> Path:
        """Return the folder that a contestant fills; for ours it is a home."""
        return self.work / "out" / name

    def record(self, name: str) -> Path:
        """Return the file that says how its run went."""
        return self.work / "out" / f"{name}.json"

    def log(self, name: str) -> Path:
        """Return the file that holds what it printed."""
        (self.work / "logs").mkdir(parents=True, exist_ok=True)
        return self.work / "logs" / f"{name}.log"


def peer_names(peers: Path = PEERS) -> list[str]:
    """Return the peers there are: folders with a `run.py`."""
    return sorted(path.parent.name for path in peers.glob("*/run.py"))


def run_peer(name: str, yard: Yard, inputs: Path) -> Contestant:
    """Make a peer's environment, and run its script alone on the machine until its time is up."""
    folder, out = yard.peers / name, yard.out(name)
    lines = configuration_lines(written_by_user(folder))
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    try:
        environment = environment_for(folder / "requirements.txt", yard.work / "venv" / name)
    except InstallError as error:
        return Contestant(name, Outcome("not installed", 0.0, str(error)), lines)
    seconds = 60 * yard.minutes
    script = [folder / "run.py", inputs.resolve(), out.resolve(), f"{seconds:g}"]
    command = [str(environment.python.absolute()), *map(str, script)]
    with Quiet().exclusive():
        outcome = run_limited(command, yard.log(name), seconds, _environment())
    if outcome.status == "done" and not (out / "manifest.json").exists():
        outcome = Outcome("failed", outcome.seconds, "it ended well, but handed nothing back")
    return Contestant(name, outcome, lines, environment.seconds, environment.versions)


def run_tuner(yard: Yard, study: Path, settings: list[str], prepared: Path) -> Contestant:
    """Run our study with the same minutes."""
    outcome = run_ours(study, settings, yard.minutes, prepared, yard.out(NAME), yard.log(NAME))
    return Contestant(NAME, outcome, configuration_lines([study]) + len(settings))


def _environment() -> dict[str, str]:
    """Return a peer's environment: ours without our modules, and with the contract's."""
    return {**os.environ, **_SETTINGS, "PYTHONPATH": str(PEERS / "contract")}


def kept(yard: Yard, names: list[str]) -> Iterator[Contestant]:
    """Return what an earlier run left of these."""
    return (Contestant.load(yard.record(name)) for name in names if yard.record(name).exists())
