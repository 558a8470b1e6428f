"""The server benchmark: which ways it runs, and its table."""

from benchmarks.reporting.server import server
from benchmarks.server import ways
from tuner.candidate import Parallel

HOST = {"cpu": "a processor", "cores": [0, 1], "versions": {"tuner": "1"}}
SCENARIO = {"mode": "server", "rate": "max", "p99_ms": 30.0, "sequence_length": 128}


def estimate(value, half=1.0):
    return {"value": value, "low": value - half, "high": value + half}


def run(way, rate, p99):
    confirmed = {"rate": 0.9 * rate, "p99_ms": estimate(p99 - 4), "late": 2, "answers": 900}
    return {
        "parallel": way.model_dump(),
        "rate": estimate(rate, 5),
        "p99_ms": estimate(p99),
        "latency_ms": estimate(4.2),
        "probes": [{}] * 9,
        "confirmed": [confirmed, confirmed],
    }


def test_all_cores_in_one_session_one_for_each_and_batches():
    assert ways(2) == [Parallel(threads=2), Parallel(replicas=2), Parallel(replicas=2, max_batch=8)]


def test_the_table_holds_each_rate_against_a_run_at_ninety_per_cent_of_it():
    runs = [run(way, rate, 28.0) for way, rate in zip(ways(2), (150, 200, 260), strict=True)]
    found = server({"host": HOST, "when": "2026-01-01", "share": 0.9, "scenario": SCENARIO, "runs": runs})
    lines = found.splitlines()
    assert "at 90% of it" in lines[0]
    assert lines[2].startswith("| 2x1 | 4.2 ms | 150/s (145 to 155) | 28.0 ms (27.0 to 29.0) | 9 | 135/s |")
    assert lines[4].startswith("| 1x2, up to 8 together |")
    assert lines[4].endswith("| 4 of 1800 |")
    assert "the most requests/s, p99 within 30 ms, 128 tokens" in found


def test_a_way_that_held_the_bound_at_no_rate_says_so():
    missed = run(Parallel(), 17, 40.0) | {"rate": {"value": 17.0, "low": 0.0, "high": 17.0}, "confirmed": []}
    found = server({"host": HOST, "when": "2026-01-01", "share": 0.9, "scenario": SCENARIO, "runs": [missed]})
    assert "| none from 17/s up |" in found and found.splitlines()[2].endswith("| – | – | 0 of 0 |")
