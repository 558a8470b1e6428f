"""Record: a grid of candidates, really built and measured, as a table that search is tested on.

    python -m benchmarks.record [--study FILE] [--minutes N] [--most N] [--set FIELD=VALUE] [-o FOLDER]

Every shape of the study with every number format, engine and way to run it: shaped, recovered with the study's own
budget, built, judged on the validation split, and measured by duet against the baseline while nothing else computes.
Each result is on the disk before the next begins; the same command goes on where one ended. The order is such that what
is there at any time is a smaller whole table: format by format over all shapes, the slowest builds last.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.environment import environment
from benchmarks.recording.compact import compact
from benchmarks.recording.journal import Journal
from benchmarks.recording.place import Place, opened
from benchmarks.recording.recorder import Recorder
from benchmarks.recording.tasks import Task, count, tasks
from tuner.errors import InputError
from tuner.spec.load import load_spec
from tuner.spec.model import GENERATION, StudySpec
from tuner.store import tuner_home

_ROOT = Path(__file__).parents[1]
#: One build a number format, for the shape that is measured: what else there is differs by a few percent.
_CLASSIFIES = ("axes.backend.fixed_shape=[true]", "axes.quantization.group_size=[32]", "measure.seconds=2")
#: Of language models each row costs a score of seconds, most of it the baseline's slow answers: so these are short, and
#: few texts are read. Drafting says little more, and of the calibrated methods one on each engine tells their cost.
_GENERATES = (
    "axes.distillation.student_layers=[28, 29, 30]",
    "axes.quantization.group_size=[32]",
    "axes.quantization.methods=[rtn, awq, k_quant_mixed, q8_0, q4_0, q4_1, gptq_20]",
    "axes.backend.draft=[none]",
    "scenario.new_tokens=16",
    "asked.documents=6",
    "asked.prompts=6",
    "asked.new_tokens=16",
    "asked.questions=0",
    "recover.steps=24",
    "recover.seconds=45",
    "measure.seconds=4",
)
_SETTINGS = {"text-classification": _CLASSIFIES, GENERATION: _GENERATES}
_SHOWN = ("accuracy", "perplexity_increase", "agreement")
_PROTOCOL = (
    "Each latency is the ratio to the baseline (fp32 PyTorch eager, all cores) in ABBA blocks, under the machine's "
    "exclusive lock, times the baseline's median over the whole table. A stage's seconds are those of making it once; "
    "`export` is what a checkpoint's builds on an engine share, such as its ONNX graph. `correct` holds one bit a "
    "document of the validation split, in its order, the first document in the highest bit. Rows of the kind "
    "`untrained` are shapes that were built before recovery; `student` are shapes recovered in `steps` from the "
    "teacher, or cut from the larger recovered student `start`. `hit` says that an earlier row had made the stage. Of "
    "a language model `correct` is of its multiple-choice questions; `nll` and `tokens` are of each document, `hits` "
    "and `answered` of each of the baseline's answers."
)


def record(spec: StudySpec, folder: Path, minutes: float, most: int | None = None) -> tuple[int, int]:
    """Record until all is done, or the minutes (or `most` tasks) are over; return how many are done, of how many."""
    end = time.monotonic() + 60 * minutes
    journal = Journal(folder / f"{spec.name}.jsonl")
    with opened(spec, tuner_home()) as place:
        meta = _meta(place, _once(journal, place, folder))
        wanted = tasks(place.space, spec.recover.steps, spec.task)
        left = [task for task in wanted if task.id not in journal]
        recorder = Recorder(place, journal.rows)
        _say(f"{len(wanted) - len(left)} of {len(wanted)} done ({count(wanted, 'trial')} trials)")
        try:
            for task in left[:most]:
                if time.monotonic() > end:
                    break
                journal.add(row := recorder.row(task))
                _say(f"{len(wanted) - len(left) + 1:4d} {_line(task, row)}")
                left = left[1:]
        finally:
            compact(journal.rows, meta, folder / f"{spec.name}.parquet")
    return len(wanted) - len(left), len(wanted)


def _meta(place: Place, once: dict[str, float]) -> dict[str, Any]:
    return {**place.meta(), "once": once, "host": environment(), "protocol": _PROTOCOL}


def _once(journal: Journal, place: Place, folder: Path) -> dict[str, float]:
    """Return what a study pays once: of the first start, since a later one finds most of it done.

    Raises:
        InputError: the journal is of another study, host or teacher.
    """
    own = {"spec": _measured(place.shop.spec), "host": place.shop.host.fingerprint}
    own["teacher"] = place.ready.teacher.key
    file = folder / f"{place.shop.spec.name}.origin.json"
    if journal.rows and file.exists():
        origin = json.loads(file.read_text())
        if changed := [name for name, value in own.items() if origin[name] != value]:
            raise InputError(f"{journal.path} was begun with another {' and '.join(changed)}: move it away")
        return dict(origin["once"])
    file.write_text(json.dumps({**own, "once": place.once}, indent=1) + "\n")
    return place.once


def _measured(spec: StudySpec) -> dict[str, Any]:
    """Return what of a study decides what is measured: not who proposes candidates, and for how long."""
    return spec.model_dump(mode="json", exclude={"budget", "sampler", "search", "tags"})


def _line(task: Task, row: dict[str, Any]) -> str:
    text = f"{row['elapsed']:6.1f} s  {task.kind:9} {task.candidate.label()}"
    if task.steps:
        text += f" {task.steps} steps from {row['start'] or 'the teacher'}"
    if row["failure"]:
        return f"{text}  {row['failure']['kind']}: {row['failure']['reason'][:80]}"
    speed = f"{1 / row['performance']['ratio']['value']:7.2f}x" if "performance" in row else ""
    quality = row.get("quality", {})
    shown = [f"{name} {quality[name]['value']:.4f}" for name in _SHOWN if name in quality]
    return "  ".join([text + speed, *shown])


def _say(text: str) -> None:
    print(text, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, record, say what is left."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--study", type=Path, default=_ROOT / "studies" / "quickstart.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="as in `tuner run`")
    parser.add_argument("--minutes", type=float, default=120.0, help="begin nothing after so many")
    parser.add_argument("--most", type=int, help="record so many more at most")
    parser.add_argument("-o", "--output", type=Path, default=_ROOT / "benchmarks" / "tables")
    asked = parser.parse_args(arguments)
    task = load_spec(asked.study, asked.set).task
    spec = load_spec(asked.study, [*_SETTINGS[task], *asked.set])
    try:
        done, wanted = record(spec, asked.output, asked.minutes, asked.most)
    except KeyboardInterrupt:
        parser.exit(130, "interrupted: the same command goes on\n")
    _say(f"{done} of {wanted} recorded" + ("" if done == wanted else "; the same command goes on"))


if __name__ == "__main__":
    main()
