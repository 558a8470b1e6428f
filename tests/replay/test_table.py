"""Tables: what the recorder writes is what a replay reads, and an interrupted one is a smaller whole one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.recording.compact import SCHEMA, axes, compact
from tests.replay.made_up import made_up
from tuner.candidate import Candidate, baseline
from tuner.errors import InputError
from tuner.replay.table import Table, _candidate, _whole, read
from tuner.search.space import Leg


@pytest.fixture(scope="module")
def table():
    return made_up()


def _row(found):
    performance = {}
    if found.failure is None:
        performance["performance"] = {
            "ratio": found.ratio.model_dump(),
            "reference_ms": 24.0,
            "p90_ms": None,
            "p99_ms": None,
            "throughput": found.metrics["throughput"].model_dump(),
            "energy_j": None,
            **{"memory_mb": 100.0, "size_mb": 20.0, "pairs": 6, "disturbed": 0, "drift": 0.0},
        }
        quality = {n: found.metrics[n].model_dump() for n in ("accuracy", "accuracy_drop")}
        performance |= {"quality": quality, "documents": len(found.correct)}
        performance["correct"] = np.packbits(found.correct).tobytes().hex()
    return {
        "id": f"trial:{found.candidate.hash}",
        "kind": "trial",
        "hash": found.candidate.hash,
        "candidate": found.candidate.canonical(),
        "state": "failed" if found.failure else "complete",
        "failure": {"kind": found.failure.kind, "reason": found.failure.reason} if found.failure else None,
        "stages": [vars(stage) for stage in found.stages],
        **{"start": None, "steps": None, "elapsed": 1.0, "load": 0.1, "at": 0},
        **performance,
    }


def test_what_is_written_is_read(table, tmp_path):
    rows = [_row(found) for found in table.rows.values()]
    compact(rows, {k: v for k, v in table.meta.items() if k != "clock_ms"}, tmp_path / "t.parquet")
    found = read(tmp_path / "t.parquet")
    assert found.clock_ms == table.clock_ms
    assert found.rows.keys() == table.rows.keys()
    for key, mine in table.rows.items():
        theirs = found.rows[key]
        assert (theirs.candidate, theirs.failure) == (mine.candidate, mine.failure)
        assert theirs.stages == mine.stages
        assert (theirs.correct == mine.correct).all()
        for name, estimate in mine.metrics.items():
            assert theirs.metrics[name].value == pytest.approx(estimate.value)
    assert found.space.signature() == table.space.signature()


def test_every_field_of_a_candidate_has_its_column():
    drafts = {"draft": "student", "draft_layers": 10, "draft_ffn": 0.25, "draft_bits": 4}
    few = {"bits": 4, "scheme": "weight-only", "method": "gptq_20", "group_size": 32, "kv_bits": 8}
    parts = {
        "distillation": {"student_layers": 3},
        "pruning": {"heads": 0.5, "ffn": 0.25},
        "quantization": few,
        "parallel": {"threads": 2, "replicas": 3, "slots": 8},
        "backend": {"engine": "llama-cpp", "fixed_shape": True, **drafts},
    }
    wanted = [Candidate.model_validate(parts), baseline(3, 2)]
    stored = pa.Table.from_pylist([axes(candidate) for candidate in wanted], schema=SCHEMA).to_pylist()
    assert [_candidate(row) for row in stored] == wanted


def test_an_interrupted_table_is_a_smaller_whole_one(table):
    whole = table.space.size()
    gone = next(c for c in table.space.enumerate() if c.backend.engine == "torch-compile")
    rows = {key: row for key, row in table.rows.items() if key != gone.hash}
    smaller = Table(table.meta, rows)
    assert smaller.space.size() == whole - 24 * 3  # one number format less
    one_way = {key: row for key, row in rows.items() if row.candidate.parallel.replicas == 1}
    assert Table(table.meta, one_way).space.parallels == [(1, 1), (2, 1)]
    assert len(smaller.inside) == smaller.space.size()


def test_of_a_formats_methods_those_that_are_whole_stay():
    leg = Leg("llama-cpp", "cpu", 4, "weight-only", (), (False,), ("q4_0", "gptq_20"))
    assert _whole(leg, set()) == leg
    assert _whole(leg, {leg.pairs()[1]}) == replace(leg, methods=("q4_0",))
    assert _whole(leg, set(leg.pairs())) is None


def test_what_is_no_table_is_refused(table, tmp_path):
    (tmp_path / "t.parquet").write_text("no")
    with pytest.raises(InputError, match="not a recorded table"):
        read(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="record on"):
        _ = replace(table, rows={}).space
