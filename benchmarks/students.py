"""Students on a recorded table: does one that is cut from a larger student learn faster than one cut from the teacher?

python -m benchmarks.students [TABLE.parquet …] [-o FOLDER]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.samplers import TABLES

_SHAPE = ("layers", "heads", "ffn")


def students(path: Path) -> dict[str, Any]:
    """Return each recorded student: its shape, what it was cut from, steps, seconds of learning, accuracy."""
    stored = pq.read_table(path)
    rows = [row for row in stored.to_pylist() if row["kind"] == "student" and row["failure"] is None]
    host = json.loads(stored.schema.metadata[b"tuner"])["host"]
    return {"recorded": host, "students": [_student(row) for row in rows]}


def _student(row: Mapping[str, Any]) -> dict[str, Any]:
    learnt = [stage["seconds"] for stage in row["stages"] if stage["name"] == "recover"]
    return {
        **{name: row[name] for name in (*_SHAPE, "start", "steps", "accuracy")},
        "seconds": learnt[-1],  # of its own; the larger one's come before
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, store, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="*", default=sorted(TABLES.glob("*.parquet")))
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results"))
    asked = parser.parse_args(arguments)
    for path in asked.tables:
        found = students(path)
        target = asked.output / f"students-{path.stem}.json"
        target.write_text(json.dumps(found, indent=1) + "\n")
        for one in found["students"]:
            shape = f"{one['layers']}L, {one['heads']:.0%} of heads and {one['ffn']:.0%} of FFN cut"
            start = f"from {one['start'] or 'the teacher'}"
            print(f"{shape}, {one['steps']} steps {start}: {one['seconds']:.1f} s, {one['accuracy']:.4f}")


if __name__ == "__main__":
    main()
