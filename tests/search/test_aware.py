"""The parts of the stage-aware search, each against what it must agree with."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest

from tests.replay.made_up import ANATOMY, OFFERS, made_up
from tuner.candidate import Backend, Parallel, Quantization, baseline
from tuner.metrics import Estimate
from tuner.search.aware.belief import Belief, Encoder, Told
from tuner.search.aware.confidence import count_bounds, document_order, drop_bounds
from tuner.search.aware.costs import Costs
from tuner.search.aware.gain import gains
from tuner.search.aware.gate import NOTHING, looks_first, refused
from tuner.search.aware.history import Item, Made, Seen
from tuner.search.aware.kernel import components
from tuner.search.aware.options import Options
from tuner.search.aware.outlook import Goal, Outlook
from tuner.search.aware.propose import Ground, promised, propose
from tuner.search.hypervolume import hypervolume
from tuner.search.space import Space
from tuner.spec.axes import Axes
from tuner.spec.constraint import parse_constraint
from tuner.spec.model import GENERATION
from tuner.stage import StageRun

GOAL = Goal(("accuracy", "latency_ms"), (parse_constraint("accuracy_drop <= 0.01"),))


@pytest.fixture(scope="module")
def table():
    return made_up()


def seen(table, *candidates, cut=0):
    """Return these candidates as trials that ended, each of its stages made."""
    rows = [table.rows[c.hash] for c in candidates]
    return [Seen(r.candidate, "failed" if r.failure else "complete", r.metrics, r.stages) for r in rows]


def some(table, count, seed=0):
    first = baseline(6, 2)
    return [first, *Random(seed).sample([c for c in table.space.enumerate() if c != first], count)]


# -- gain


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_a_gain_is_the_difference_of_two_hypervolumes(objectives):
    rng = np.random.default_rng(0)
    for _ in range(20):
        front, points = rng.random((5, objectives)) * 1.2, rng.random((6, objectives)) * 1.3 - 0.1
        front = np.maximum(front, 0)
        found = gains(front, points)
        for point, gain in zip(np.clip(points, 0, 1), found, strict=True):
            before = hypervolume(front.tolist(), [1.0] * objectives)
            after = hypervolume([*front.tolist(), point.tolist()], [1.0] * objectives)
            assert gain == pytest.approx(after - before, abs=1e-12)


def test_everything_is_gain_while_there_is_no_front():
    assert gains(np.zeros((0, 2)), np.array([[0.5, 0.5]]))[0] == pytest.approx(0.25)


# -- confidence


def test_bounds_hold_at_all_moments_together():
    rng, missed = np.random.default_rng(1), 0
    for _ in range(200):
        lost = rng.permutation(np.arange(400) < rng.integers(0, 60))
        total = int(lost.sum())
        for drawn in range(0, 401, 8):
            low, high = count_bounds(400, drawn, int(lost[:drawn].sum()), 0.05)
            if not low <= total <= high:
                missed += 1
                break
    assert missed <= 0.05 * 200


def test_all_documents_give_the_drop_itself():
    rng = np.random.default_rng(2)
    base, own = rng.random(300) < 0.95, rng.random(300) < 0.9
    order = document_order(base, seed=0)
    low, high = drop_bounds(base, order, own[order])
    assert low == high == pytest.approx(base.mean() - own.mean())
    assert not base[order][: int((~base).sum())].any()  # its mistakes come first
    wide = drop_bounds(base, order, own[order[:5]])
    assert wide[0] <= low <= wide[1]


def test_a_bad_student_is_known_early():
    base = np.ones(400, bool)
    order = document_order(base, 0)
    bad = np.random.default_rng(0).random(400) < 0.8
    low, _ = drop_bounds(base, order, bad[order[:64]])
    assert low > 0.02


# -- costs


def test_costs_are_those_of_the_nearest_that_was_made(table):
    space = table.space
    first, *others = some(table, 30)
    history = seen(table, first, *others)
    made, costs = Made.by(history), Costs.of(history, 6)
    known = Item.of(next(s.candidate for s in history[1:] if s.state == "complete"))
    again = costs.remaining(known, made)
    assert (again.student, again.build, again.quality) == (0, 0, 0)
    assert again.performance > 0
    fresh = next(
        Item.of(c) for c in space.enumerate() if c.student not in made.students and not c.is_unshaped(6)
    )
    assert costs.remaining(fresh, made).student > 4
    slow = next(Item.of(c) for c in space.enumerate() if c.backend.engine == "torch-compile")
    assert Costs(6).remaining(slow, Made(frozenset(), frozenset(), frozenset())).build > 20


def test_before_anything_was_made_a_language_model_is_dearer(table):
    nothing = Made(frozenset(), frozenset(), frozenset())
    item = Item.of(next(c for c in table.space.enumerate() if not c.is_unshaped(6)))
    small, large = (Costs(6, task).remaining(item, nothing) for task in ("text-classification", GENERATION))
    assert large.student > small.student and large.quality > small.quality
    assert large.performance > small.performance


def test_another_studys_files_are_not_at_hand(table):
    own = seen(table, *some(table, 5))
    foreign = [Seen(s.candidate, s.state, s.metrics, s.stages, against=own[0].metrics) for s in own]
    assert Made.by(foreign) == Made(frozenset(), frozenset(), frozenset())


# -- belief


def test_a_format_tried_on_one_shape_tells_of_the_others(table):
    encoder, rows = Encoder(ANATOMY), table.rows
    right = [c for c in some(table, 60) if rows[c.hash].failure is None]
    told = [Told(Item.of(c), math.log(rows[c.hash].metrics["latency_ms"].value)) for c in right]
    belief = Belief("latency_ms", encoder).learn(told)
    rest = [c for c in table.space.enumerate() if rows[c.hash].failure is None and c not in right]
    mean, deviation = belief.of(encoder.encode([Item.of(c) for c in rest]))
    truth = np.log([rows[c.hash].metrics["latency_ms"].value for c in rest])
    assert np.abs(mean - truth).mean() < 0.25
    assert np.mean(np.abs(mean - truth) < 2 * deviation) > 0.8


# -- propose and gate


def test_what_is_taken_is_not_proposed_again(table):
    space = Space(
        Axes.model_validate(
            {"distillation": {"student_layers": [6]}, "pruning": {"heads": [0.0], "ffn": [0.0]}}
        ),
        ANATOMY,
        OFFERS[:2],
        2,
    )
    ground = Ground(space, ANATOMY, Options())
    history = seen(table, baseline(6, 2))
    outlook, taken = Outlook(GOAL, ground.encoder, history), set()
    while (found := propose(ground, outlook, history, taken, seed=0)) is not None:
        assert found.item.hash not in taken
        taken.add(found.item.hash)
    assert len(taken) == space.size()


def test_a_large_space_is_drawn_from_and_what_is_made_is_in_the_pool(table):
    ground = Ground(table.space, ANATOMY, Options(pool=50))
    made = Made.by(seen(table, *some(table, 10)))
    items, at = ground.pool(made, Random(0))
    assert len(items) == len(at.work) < table.space.size()
    assert all(i.candidate in table.space for i in items)
    assert {i.student for i in items} & made.students


def test_the_gate_refuses_what_cannot_add_and_says_why(table):
    history = seen(table, *some(table, 40))
    outlook = Outlook(GOAL, Encoder(ANATOMY), history)
    item = Item.of(next(c for c in table.space.enumerate() if c.student == (3, 0.5, 0.0, False)))
    slow, fast = ({"latency_ms": Estimate.exact(ms)} for ms in (60.0, 0.05))
    never = Options(let_through=0.0)
    assert "beaten before training: with latency_ms 60" in refused(outlook, item, slow, never, 0)
    assert refused(outlook, item, fast, never, 0) is None
    assert refused(outlook, item, slow, Options(let_through=1.0), 0) is None
    assert outlook.hopeful(item, slow, 2.0) <= NOTHING < outlook.hopeful(item, fast, 2.0)


def test_nobody_looks_where_nothing_can_be_saved(table):
    history = seen(table, *some(table, 40))
    outlook, made, costs = Outlook(GOAL, Encoder(ANATOMY), history), Made.by(history), Costs.of(history, 6)
    known = Item.of(history[1].candidate)
    assert not looks_first(outlook, known, costs.remaining(known, made), Options(gate=True))
    fresh = next(Item.of(c) for c in table.space.enumerate() if c.student not in made.students)
    assert not looks_first(outlook, fresh, costs.remaining(fresh, made), Options(gate=False))


def test_a_quality_given_up_half_way_is_worth_less(table):
    first, other = (
        baseline(6, 2),
        next(c for c in table.space.enumerate() if c.student == (1, 0.75, 0.9, False)),
    )
    wide = Estimate(value=0.9, low=0.8, high=0.95)
    stages = (StageRun("recover", "k", False, 4.0),)
    history = [*seen(table, first), Seen(other, "pruned", {"accuracy": wide}, stages)]
    outlook = Outlook(GOAL, Encoder(ANATOMY), history)
    mean, deviation = outlook.believed("accuracy", Item.of(other))
    base = outlook.baseline["accuracy"].value
    assert 0.9 < mean < base
    assert deviation > 0.001


# -- several at once, and the end


def test_what_others_try_counts_as_it_is_believed(table):
    history = seen(table, *some(table, 6))
    encoder = Encoder(ANATOMY)
    alone = Outlook(GOAL, encoder, history)
    items = [Item.of(c) for c in table.space.enumerate()]
    best = max(items, key=lambda item: _believed_gain(alone, item))
    beside = Outlook(GOAL, encoder, history, [best])
    assert _believed_gain(alone, best) > 0.001
    assert _believed_gain(beside, best) == pytest.approx(0, abs=1e-9)


def _believed_gain(outlook, item):
    told = {name: outlook.believed(name, item)[0] for name in outlook.beliefs}
    plain = {name: math.exp(value) if name == "latency_ms" else value for name, value in told.items()}
    return outlook.hopeful(item, {name: Estimate.exact(value) for name, value in plain.items()}, 0.0)


def test_less_and_less_is_promised(table):
    ground, found = Ground(table.space, ANATOMY, Options()), []
    everything = list(table.space.enumerate())
    for count in (3, 30, 300):
        history = seen(table, *some(table, count))
        outlook = Outlook(GOAL, ground.encoder, history)
        found.append(promised(ground, outlook, history, {s.item.hash for s in history}, 0, 300.0))
    assert found[0] > found[1] > found[2] > 0
    history = seen(table, *everything)
    outlook = Outlook(GOAL, ground.encoder, history)
    assert promised(ground, outlook, history, {c.hash for c in everything}, 0, 300.0) == 0


def test_longer_promises_more(table):
    ground, history = Ground(table.space, ANATOMY, Options()), seen(table, *some(table, 5))
    outlook, taken = Outlook(GOAL, ground.encoder, history), {s.item.hash for s in history}
    shares = [promised(ground, outlook, history, taken, 0, seconds) for seconds in (1.0, 60.0, 600.0)]
    assert shares[0] == 0 < shares[1] < shares[2]


# -- language models


def chat_seen(layers, bits, increase, latency, agreement=0.8):
    found = baseline(layers, 2)
    if bits < 16:
        found = found.model_copy(
            update={
                "quantization": Quantization(bits=bits, scheme="weight-only", group_size=32, method="rtn"),
                "backend": Backend(engine="openvino"),
            }
        )
    values = {
        "perplexity": 20 * (1 + increase),
        "perplexity_increase": increase,
        "agreement": agreement,
        "latency_ms": latency,
    }
    return Seen(found, "complete", {name: Estimate.exact(v) for name, v in values.items()})


CHAT_HISTORY = [
    chat_seen(30, 32, 0.0, 3000.0, 1.0),
    chat_seen(30, 8, 0.01, 500.0),
    chat_seen(30, 4, 0.08, 320.0, 0.6),
    chat_seen(24, 8, 40.0, 420.0, 0.05),  # ruined: it must not stretch what is believed of the others
]


def chat_outlook(objective="perplexity_increase", **more):
    goal = Goal((objective, "latency_ms"), tuple(map(parse_constraint, more.pop("constraints", ()))))
    return Outlook(goal, Encoder({"layers": 30, "hidden": 576, "ffn": 1536}, GENERATION), CHAT_HISTORY)


def test_a_loss_is_believed_through_its_metric():
    outlook = chat_outlook(constraints=("perplexity_increase <= 0.1", "agreement >= 0.25"))
    assert set(outlook.beliefs) == {"perplexity", "latency_ms", "agreement"}
    item = Item.of(chat_seen(30, 4, 0, 0).candidate.model_copy(update={"parallel": Parallel(threads=1)}))
    mean, deviation = outlook.believed("perplexity", item)  # the same artefact, run another way
    assert math.exp(mean) == pytest.approx(20 * 1.08, rel=0.02) and deviation < 0.15
    assert len(outlook.front) == 3  # the ruined one is not feasible
    assert outlook.goal.margin("perplexity_increase") == pytest.approx(math.log(1.2))
    assert outlook.goal.margin("latency_ms") is None
    # what is just allowed counts by half; the baseline is at half of the box
    points = {round(y, 3) for y, _ in outlook.front.tolist()}
    assert round(0.5 + math.log(1.08) / math.log(1.2) / 2, 3) in points and 0.5 in points


def test_a_drop_may_be_an_objective(table):
    outlook = Outlook(Goal(("accuracy_drop", "latency_ms")), Encoder(ANATOMY), seen(table, *some(table, 12)))
    same = Outlook(Goal(("accuracy", "latency_ms")), Encoder(ANATOMY), seen(table, *some(table, 12)))
    at = Encoder(ANATOMY).encode([Item.of(c) for c in some(table, 5, seed=1)])
    assert outlook.front == pytest.approx(same.front)
    assert outlook.possible(at)[0].shape == same.possible(at)[0].shape


def test_formats_that_differ_in_method_alone_are_alike():
    items = [Item.of(chat_seen(30, bits, 0, 0).candidate) for bits in (4, 8)]
    other = items[0].candidate.quantization.model_copy(update={"method": "awq"})
    items.append(Item.of(items[0].candidate.model_copy(update={"quantization": other})))
    at = Encoder({"layers": 30, "hidden": 576, "ffn": 1536}, GENERATION).encode(items)
    alike = components(at, at)["form"][0]
    assert 1 == alike[0] > alike[2] > alike[1] > 0
    assert items[0].artefact != items[2].artefact
