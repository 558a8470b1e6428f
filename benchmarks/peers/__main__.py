"""Our tool and its peers on one model, in one run.

    python -m benchmarks.peers [--minutes 14] [--only NAME…] [--study FILE] [--set FIELD=VALUE…] [--ours FOLDER]

Each peer gets an environment of its own, the same fine-tuned model, texts, cores and minutes, and writes what its
documentation recommends; then ours gets the same. All that comes out is measured together by one protocol: accuracy on
the test split, which no contestant saw, latency in alternation with the fp32 model. A peer that fails is reported with
its error. `--again` only measures what an earlier run left in the work folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.environment import environment
from benchmarks.peers.contest import Contestant, Yard, kept, peer_names, run_peer, run_tuner
from benchmarks.peers.given import common_ground
from benchmarks.peers.lines import configuration_lines
from benchmarks.peers.measuring import Setting, measure_all
from benchmarks.peers.ours import NAME, our_subjects
from benchmarks.peers.report import draw, show, to_json
from benchmarks.peers.running import Outcome
from benchmarks.peers.subjects import HandedBack, handed_back
from tuner.hardware import this_host
from tuner.spec.load import load_spec
from tuner.spec.model import StudySpec

_ROOT = Path(__file__).parents[2]


def contestants(asked: argparse.Namespace, yard: Yard, inputs: Path, home: Path) -> list[Contestant]:
    """Run everybody who is asked for, one after the other, and keep how it went."""
    if asked.again:
        return list(kept(yard, asked.only))
    found = []
    for name in asked.only:
        print(f"{name} …", flush=True)
        one = _ours(asked, yard, home) if name == NAME else run_peer(name, yard, inputs)
        one.save(yard.record(name))
        print(
            f"  {one.outcome.status} after {one.outcome.seconds:.0f} s {one.outcome.error or ''}", flush=True
        )
        found.append(one)
    return found


def _ours(asked: argparse.Namespace, yard: Yard, home: Path) -> Contestant:
    if asked.ours:
        return Contestant(
            NAME, Outcome("done", 0.0, f"taken from {asked.ours.name}"), configuration_lines([asked.study])
        )
    return run_tuner(yard, asked.study, asked.set, home)


def returned(name: str, asked: argparse.Namespace, yard: Yard, spec: StudySpec) -> HandedBack:
    """Return a contestant's artefacts."""
    if name != NAME:
        return handed_back(name, yard.out(name), yard.work / "artefacts" / name, len(this_host().cores))
    given = asked.ours or yard.out(NAME)
    known = (given / "tuner.db").exists() or (given / "bundle.json").exists()
    return HandedBack(our_subjects(spec, given) if known else [], [])


def run(asked: argparse.Namespace) -> dict[str, object]:
    """Prepare, run all, measure all."""
    spec = load_spec(asked.study, asked.set)
    yard, home = Yard(asked.work, asked.minutes), asked.work / "home"
    ground = common_ground(spec, home, asked.work / "inputs")
    ran = contestants(asked, yard, ground.inputs, home)
    back = {one.name: returned(one.name, asked, yard, spec) for one in ran}
    setting = Setting(ground.test, ground.plan, seconds=asked.seconds)
    measured = measure_all(ground.reference, [s for one in back.values() for s in one.subjects], setting)
    found = to_json(ran, measured, {name: one.failures for name, one in back.items()})
    settings = {
        "study": asked.study.name,
        "set": asked.set,
        "minutes": asked.minutes,
        "seconds": asked.seconds,
    }
    return {"host": environment(), "settings": settings, **found}


def parsed() -> argparse.Namespace:
    """Return what was asked for."""
    names = [*peer_names(), NAME]
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=14.0, help="for each contestant")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names)
    )
    parser.add_argument("--study", type=Path, default=_ROOT / "studies" / "quickstart.yaml")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--ours", type=Path, help="a home that holds the study, or an exported bundle")
    parser.add_argument("--again", action="store_true", help="only measure what is there")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each artefact's latency, at most")
    parser.add_argument(
        "--work", type=Path, default=Path(".peers"), help="environments and all intermediate files"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results"))
    return parser.parse_args()


def main() -> None:
    """Run, store, draw, print."""
    asked = parsed()
    found = run(asked)
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "peers.json").write_text(json.dumps(found, indent=1) + "\n")
    draw(found, asked.output / "peers.png")
    show(found)
    print(f"\nstored in {asked.output / 'peers.json'}")


if __name__ == "__main__":
    main()
