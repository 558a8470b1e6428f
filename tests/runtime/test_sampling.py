"""How the next token is chosen."""

import numpy as np
import pytest

from tuner.runtime.sampling import Sampling, nucleus, penalised

LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.07, 0.03], dtype=np.float32))


def drawn(sampling, times=4000, prompt=(), logits=LOGITS):
    choose = sampling.chooser(prompt)
    return np.bincount([choose(logits) for _ in range(times)], minlength=len(logits)) / times


def test_greedy_is_left_to_the_session():
    assert Sampling().chooser([1]) is None
    assert Sampling(top_p=0.5, top_k=3).chooser([1]) is None


def test_shares_are_those_of_the_model():
    assert drawn(Sampling(temperature=1.0, seed=0)) == pytest.approx(np.exp(LOGITS), abs=0.03)


def test_temperature_sharpens_and_flattens():
    cold = np.exp(LOGITS) ** 2 / (np.exp(LOGITS) ** 2).sum()
    assert drawn(Sampling(temperature=0.5, seed=0)) == pytest.approx(cold, abs=0.03)
    assert drawn(Sampling(temperature=2.0, seed=0))[4] > 0.05


@pytest.mark.parametrize(
    "top_k, top_p, expected",
    [(0, 1.0, [0, 1, 2, 3, 4]), (2, 1.0, [0, 1]), (0, 0.7, [0, 1]), (0, 0.76, [0, 1, 2]), (0, 0.0, [0]),
     (3, 0.6, [0, 1]), (9, 0.999, [0, 1, 2, 3, 4])],
)  # fmt: skip
def test_from_which_tokens_is_drawn(top_k, top_p, expected):
    tokens, shares = nucleus(LOGITS.astype(float), top_k, top_p)
    assert tokens.tolist() == expected and (np.diff(shares) <= 0).all()
    seen = drawn(Sampling(temperature=1.0, top_k=top_k, top_p=top_p, seed=1))
    assert set(np.flatnonzero(seen)) == set(expected)


def test_a_seed_draws_the_same_again_and_none_does_not():
    def ten(seed):
        choose = Sampling(temperature=1.5, seed=seed).chooser([])
        return [choose(np.zeros(1000)) for _ in range(10)]

    assert ten(7) == ten(7) != ten(8)
    assert ten(None) != ten(None)
    assert ten(-1) == ten(-1)


def test_what_was_said_is_less_likely():
    assert penalised(np.array([2.0, -2.0, 1.0]), {0, 1}, 2.0).tolist() == [1.0, -4.0, 1.0]
    choose = Sampling(repetition_penalty=4.0).chooser([])
    logits = np.array([3.0, 2.0, 1.0])
    assert [choose(logits) for _ in range(4)] == [0, 1, 2, 0]
    assert Sampling(repetition_penalty=4.0).chooser([0])(logits) == 1


def test_a_models_own_settings():
    said = {"do_sample": True, "temperature": 0.2, "top_p": 0.9, "eos_token_id": 2}
    assert Sampling.of(said) == Sampling(temperature=0.2, top_p=0.9)
    assert Sampling.of({"do_sample": True}).temperature == 1.0
    assert Sampling.of({"do_sample": False, "temperature": 0.7}).chooser([]) is None
    assert Sampling.of({}).chooser([]) is None


def test_what_a_request_changes():
    own = Sampling(temperature=0.2, top_p=0.9)
    assert own.changed(temperature=None, top_p=0.5) == Sampling(temperature=0.2, top_p=0.5)
    assert own.changed(temperature=0.0).chooser([]) is None
    assert Sampling().changed(top_p=0.5).temperature == 1.0
    assert Sampling().changed(top_p=0.5, temperature=0.0).temperature == 0.0
