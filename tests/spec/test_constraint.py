import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.errors import InputError
from tuner.metrics import METRICS, Estimate
from tuner.spec.constraint import Constraint, parse_constraint, parse_where

numbers = st.floats(min_value=-1e6, max_value=1e6)


@given(
    st.sampled_from(sorted(METRICS)),
    st.sampled_from(["<=", ">=", "<", ">"]),
    numbers,
    st.sampled_from(["", " "]),
)
def test_what_is_written_is_read(metric, op, bound, space):
    assert parse_constraint(f"{metric}{space}{op}{space}{bound!r}") == Constraint(metric, op, bound)


@given(st.sampled_from(["<=", ">=", "<", ">"]), numbers, numbers)
def test_violation_is_positive_exactly_where_the_bound_is_missed(op, bound, value):
    met = {"<=": value <= bound, ">=": value >= bound, "<": value < bound, ">": value > bound}[op]
    violation = Constraint("latency_ms", op, bound).violation({"latency_ms": Estimate.exact(value)})
    assert (violation <= 0) == met


def test_an_unmeasured_metric_has_no_violation():
    constraint = parse_constraint("energy_j <= 1")
    assert constraint.violation({}) is None
    assert constraint.violation({"energy_j": None}) is None


def test_a_fraction_may_be_a_percentage_and_a_time_may_not():
    assert parse_constraint("accuracy_drop <= 1%").bound == pytest.approx(0.01)
    assert parse_constraint("accuracy_drop <= 1 %").bound == pytest.approx(0.01)
    with pytest.raises(InputError, match="latency_ms is in ms"):
        parse_constraint("latency_ms <= 5%")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("acuracy_drop <= 0.01", "did you mean 'accuracy_drop'"),
        ("accuracy_drop = 0.01", "is not a constraint"),
        ("accuracy_drop <= little", "'little' is not a number"),
        ("accuracy_drop <= nan", "finite"),
        ("accuracy_drop <= inf", "finite"),
        ("accuracy_drop <= %", "not a number"),
        ("0.01 >= accuracy_drop", "is not a constraint"),
        ("", "is not a constraint"),
        ("latency_ms <= 5 or size_mb <= 2", "is not a constraint"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(text, message):
    with pytest.raises(InputError, match=message):
        parse_constraint(text)


def test_where_joins_with_and():
    assert parse_where("latency_ms<=5 and accuracy_drop<=0.01") == [
        Constraint("latency_ms", "<=", 5.0),
        Constraint("accuracy_drop", "<=", 0.01),
    ]
    assert parse_where("  ") == []
    with pytest.raises(InputError):
        parse_where("latency_ms<=5 and")


def test_a_constraint_reads_back_from_its_text():
    constraint = Constraint("size_mb", ">", 2.5)
    assert parse_constraint(str(constraint)) == constraint
