"""The server scenario's mathematics, held against what is known exactly: Poisson arrivals, M/D/1 queues, binomials."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tuner.measure.arrivals import all_at_once, schedule
from tuner.measure.line import Line
from tuner.measure.rate import Probe, Search
from tuner.measure.slo import QUERIES, Slo, allowed, percentiles, tolerated

SERVICE = 0.01  # seconds


def waits(arrivals, line, replicas=1, service=lambda batch: SERVICE):
    """Return latencies (requests,) in seconds of replicas that take so long for a batch, by the line's own policy."""
    free, ends, come, now = [0.0] * replicas, np.zeros(len(arrivals)), 0, 0.0
    while come < len(arrivals) or len(line):
        while come < len(arrivals) and arrivals[come] <= now:
            line.add(arrivals[come], come)
            come += 1
        first = min(range(replicas), key=free.__getitem__)
        if free[first] <= now and (batch := line.take(now)):
            free[first] = now + service(len(batch))
            ends[batch] = free[first]
            continue
        due = line.due()
        moments = [] if due is None else [max(due, free[first])]
        moments += [arrivals[come]] if come < len(arrivals) else []
        now = min(moments)
    return ends - arrivals


def md1(share, load):
    """Return the percentile of an M/D/1 queue's latency in services (Erlang 1909; Crommelin 1932)."""

    def waits_less(t):
        terms = [
            (load * (k - t)) ** k / math.factorial(k) * math.exp(load * (t - k))
            for k in range(math.floor(t) + 1)
        ]
        return (1 - load) * sum(terms)

    low, high = 0.0, 20.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if waits_less(middle) < share else (low, middle)
    return 1 + high


def test_arrivals_are_poisson_and_the_seeds_own():
    found = schedule(50.0, 20_000, seed=3)
    gaps = np.diff(found, prepend=0.0)
    assert stats.kstest(gaps, "expon", args=(0, 1 / 50)).pvalue > 0.01
    np.testing.assert_allclose(schedule(100.0, 20_000, seed=3), found / 2)
    assert not np.allclose(schedule(50.0, 20_000, seed=4), found)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_line_is_an_md1_queue(load):
    """One replica, one request at a time, always as long: the 99th percentile is known."""
    latencies = waits(schedule(load / SERVICE, 80_000, seed=1), Line())
    assert np.percentile(latencies, 99) / SERVICE == pytest.approx(md1(0.99, load), rel=0.04)


def test_two_replicas_share_one_line():
    """First come, first served and always as long: M/D/2 is what every other request finds at one replica, E2/D/1."""
    arrivals = schedule(1.6 / SERVICE, 5_000, seed=2)
    shared = waits(arrivals, Line(), replicas=2)
    np.testing.assert_allclose(shared[::2], waits(arrivals[::2], Line()))
    np.testing.assert_allclose(shared[1::2], waits(arrivals[1::2], Line()))


def test_batches_carry_what_single_requests_cannot():
    arrivals = schedule(2.0 / SERVICE, 5_000, seed=2)
    single = waits(arrivals, Line())
    together = waits(arrivals, Line(most=8), service=lambda batch: SERVICE * (0.8 + 0.2 * batch))
    assert single[-1] > 100 * SERVICE  # the line only grew
    assert np.percentile(together, 99) < 6 * SERVICE


def test_a_line_waits_for_a_batch_to_fill_but_not_for_ever():
    line = Line(most=3, wait=0.5)
    assert line.due() is None
    line.add(1.0, 0)
    assert line.take(1.4) == []
    assert line.due() == 1.5
    line.add(1.3, 1)
    assert line.take(1.5) == [0, 1]
    for request in range(2, 6):
        line.add(2.0, request)
    assert line.take(2.0) == [2, 3, 4]
    assert line.take(2.0) == []
    assert [request for _, request in line] == [5]


def test_all_at_once_measures_the_capacity():
    latencies = waits(all_at_once(100), Line(most=4), replicas=2)
    assert latencies.max() == pytest.approx(SERVICE * math.ceil(100 / 8))


def test_as_many_may_be_late_as_loadgen_says():
    """The counts of LoadGen's own early stopping: 459 answers without a late one, 662 with one."""
    assert [allowed(n) for n in (458, 459, 661, 662)] == [-1, 0, 0, 1]
    assert QUERIES == 459


@given(st.integers(459, 20_000))
def test_the_rule_doubts_by_one_per_cent(count):
    most = allowed(count)
    assert stats.binom.cdf(most, count, 0.01) <= 0.01 < stats.binom.cdf(most + 1, count, 0.01)
    assert most < tolerated(count) + 1


def test_a_run_that_was_cut_short_says_the_least_only():
    latencies = list(np.linspace(1, 100, 1000))
    assert percentiles(latencies, True)["server_p99_ms"].high < 101
    cut = percentiles(latencies[:200], False)["server_p99_ms"]
    assert cut.value == cut.low == pytest.approx(20.7, abs=0.5)
    assert cut.high == math.inf


def prober(p99_of, bound, luck=lambda rate, seed: False):
    """Return a run that knows the percentile exactly, but where `luck` has it miss."""

    def run(rate, seed):
        p99 = p99_of(rate)
        held = p99 <= bound and not luck(rate, seed)
        ended = "whole" if held else "overload" if p99 == math.inf else "over"
        return Probe(rate, seed, held, p99, QUERIES, 0 if held else 9, ended, 1.0)

    return run


def md1_ms(rate):
    load = rate * SERVICE
    return math.inf if load >= 0.97 else md1(0.99, load) * SERVICE * 1e3


@pytest.mark.parametrize("bound", [20.0, 30.0, 60.0])
def test_the_largest_rate_of_an_md1_queue_is_found(bound):
    found = Search(prober(md1_ms, bound), ceiling=1 / SERVICE, floor=1).found()
    rates = np.linspace(1, 97, 961)
    truth = max(rate for rate in rates if md1_ms(rate) <= bound)
    assert found.rate.value <= truth <= found.rate.high
    assert found.rate.value == pytest.approx(truth, rel=0.05)
    assert len(found.probes) < 18
    assert sum(probe.rate == found.rate.value for probe in found.probes) == 3  # it held again


def test_one_unlucky_run_changes_nothing():
    unlucky = prober(md1_ms, 30.0, luck=lambda rate, seed: seed == 0)
    lucky = Search(prober(md1_ms, 30.0), 1 / SERVICE, 1).found()
    found = Search(unlucky, 1 / SERVICE, 1).found()
    assert found.rate.value == lucky.rate.value
    assert found.rate.low <= found.rate.value


def test_a_rate_that_held_by_luck_is_lowered():
    """Near the bound only the search's own schedules let it hold; on others it misses."""
    lucky = prober(md1_ms, 30.0, luck=lambda rate, seed: rate > 60 and seed > 0)
    found = Search(lucky, 1 / SERVICE, 1).found()
    assert found.rate.value <= 60
    assert found.rate.high > found.rate.value


def test_a_line_that_only_grows_is_not_tried_again():
    found = Search(prober(lambda rate: math.inf if rate > 20 else 5.0, 30.0), 1 / SERVICE, 1).found()
    assert all(probe.seed == 0 for probe in found.probes if not probe.held)
    assert found.rate.value == pytest.approx(20, rel=0.05)


def test_a_ceiling_that_was_measured_too_low_is_raised():
    found = Search(prober(md1_ms, 30.0), ceiling=0.3 / SERVICE, floor=1).found()
    assert found.rate.value == pytest.approx(max(r for r in range(1, 97) if md1_ms(r) <= 30), abs=3)


def test_no_rate_holds_a_bound_below_the_service():
    found = Search(prober(md1_ms, 9.0), 1 / SERVICE, floor=2.0).found()
    assert found.rate is None
    assert min(probe.rate for probe in found.probes) >= 2.0


def test_runs_together_have_to_pass_where_each_alone_did():
    """Four late answers of 459 are within 1 %; so many in every run are more than chance allows."""

    def run(rate, seed):
        return Probe(rate, seed, rate < 70, 29.0, QUERIES, 4 if rate > 50 else 0, "whole", 1.0)

    assert Search(run, 100.0, 1.0).found().rate.value <= 50


def test_late_answers_are_those_over_the_bound():
    assert Slo(30.0).late([29.9, 30.0, 30.1, 90.0]) == 2
