"""The search space: conditional, capability-aware, and its two ways between candidates and parameters."""

from __future__ import annotations

import random

import optuna
import pytest

from tuner.backends.base import Offer
from tuner.candidate import Candidate, baseline
from tuner.errors import InputError
from tuner.search.seeds import known_ways, peers, seeds, ways
from tuner.search.space import Space
from tuner.spec.axes import Axes

ANATOMY = {"layers": 6, "heads": 12, "ffn": 1536, "hidden": 384, "refused": {}}
OFFERS = [
    ("torch", Offer("cpu", 32)),
    ("torch", Offer("cpu", 16, available=False, reason="this CPU has no bf16 instructions")),
    ("torch-compile", Offer("cpu", 32)),
    ("onnxruntime", Offer("cpu", 32)),
    ("onnxruntime", Offer("cpu", 8, "dynamic")),
    ("onnxruntime", Offer("cpu", 8, "static")),
    ("onnxruntime", Offer("cpu", 4, "weight-only", group_sizes=(16, 32, 64, 128))),
    ("openvino", Offer("cpu", 32, fixed_shape=True)),
    ("openvino", Offer("cpu", 16, fixed_shape=True)),
    ("openvino", Offer("cpu", 8, "static", fixed_shape=True)),
    ("openvino", Offer("cpu", 8, "weight-only")),
    ("openvino", Offer("cpu", 4, "weight-only", group_sizes=(32, 128))),
    ("npu-engine", Offer("cpu", 8, "static", available=False, reason="no NPU here")),
]


def make(axes: dict | None = None, offers=OFFERS, cores: int = 2, **anatomy) -> Space:
    return Space(Axes.model_validate(axes or {}), {**ANATOMY, **anatomy}, offers, cores)


def test_enumeration_and_size_agree():
    space = make({"pruning": {"heads": [0, 0.5], "ffn": [0.25]}})
    every = list(space.enumerate())
    # torch 1, torch-compile 1, onnxruntime 1 + 2 + 2 groups, openvino (1 + 1 + 1) x 2 shapes + 2 groups
    assert len(every) == len(set(every)) == space.size() == 6 * 2 * 1 * (1 + 1 + 5 + 8) * 3
    assert all(candidate in space for candidate in every)


def test_distributions_are_those_that_suggest_draws_from():
    """What is added to Optuna must look as if Optuna had proposed it: a study refuses differing distributions."""
    space = make({"pruning": {"heads": [0, 0.5], "ffn": [0.0, 0.3, 0.9]}})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(60):
        trial = study.ask()
        candidate = space.suggest(trial)
        assert space.distributions(candidate) == trial.distributions
        assert space.params(candidate) == trial.params
        study.tell(trial, 0.0)
    with pytest.raises(ValueError, match="not in the search space"):
        space.distributions(baseline(99, 1))


def test_what_cannot_run_is_never_proposed_and_noted():
    space = make()
    pairs = {(b.engine, q.bits, q.scheme) for q, b in space.pairs()}
    assert ("torch", 16, "none") not in pairs
    assert not any(engine == "npu-engine" for engine, _, _ in pairs)
    assert "torch@cpu 16 bits none: this CPU has no bf16 instructions" in space.notes
    assert ("openvino", 8, "weight-only") not in pairs  # not among the study's schemes


@pytest.mark.parametrize(
    "sampler", [optuna.samplers.RandomSampler(seed=3), optuna.samplers.TPESampler(seed=3)]
)
def test_params_are_the_inverse_of_suggest(sampler):
    space = make(
        {"distillation": {"student_layers": [1, 2, 6]}, "pruning": {"ffn": [0.1, 0.2, 0.3]}}, cores=6
    )
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for _ in range(60):
        trial = study.ask()
        candidate = space.suggest(trial)
        assert candidate in space
        assert space.params(candidate) == trial.params
        study.tell(trial, [candidate.pruning.ffn, float(candidate.quantization.bits)])


def test_every_candidate_survives_the_way_through_optuna():
    space = make(cores=4)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for candidate in random.Random(0).sample(list(space.enumerate()), 60):
        study.enqueue_trial(space.params(candidate))
        assert space.suggest(study.ask()) == candidate


def test_parameters_are_conditional_and_single_choices_are_not_asked():
    space = make()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    seen: dict[str, set[str]] = {}
    for _ in range(300):
        trial = study.ask()
        space.suggest(trial)
        seen.setdefault(trial.params["engine"], set()).update(trial.params)
    always = {"student_layers", "heads", "ffn", "engine", "threads", "1t.replicas"}
    assert seen["torch@cpu"] == always
    assert seen["onnxruntime@cpu"] - always == {
        "onnxruntime@cpu.bits",
        "onnxruntime@cpu.8.scheme",
        "onnxruntime@cpu.4.group_size",
    }
    assert "openvino@cpu.8.static.fixed_shape" in seen["openvino@cpu"]


def test_replicas_stay_within_the_cores():
    space = make(cores=6)
    assert space.parallels == [(1, 1), (1, 2), (1, 4), (1, 6), (2, 1), (2, 2), (2, 3), (4, 1), (6, 1)]
    assert make({"parallel": {"threads": [1, 2, 64], "replicas": [2]}}).parallels == [(1, 2)]
    with pytest.raises(InputError, match="2 cores"):
        make({"parallel": {"threads": [16]}})


def test_a_refused_axis_keeps_the_untouched_value():
    space = make(refused={"student_layers": "layers are shared", "heads": "fused projection"})
    assert (space.depths, space.heads, len(space.ffn)) == ([6], [0.0], 4)
    assert "heads: fused projection" in space.notes


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"backend": {"engines": ["onnxruntim"]}}, "unknown engine 'onnxruntim' .did you mean 'onnxruntime'"),
        ({"backend": {"engines": ["npu-engine"]}}, "'npu-engine' cannot run here: no NPU here"),
        ({"backend": {"devices": ["cuda"]}}, "unknown device 'cuda'"),
        ({"distillation": {"student_layers": [7]}}, "7 is more than the model's 6 layers"),
        ({"backend": {"engines": ["torch"]}, "quantization": {"bits": [16]}}, "no bf16 instructions"),
    ],
)
def test_a_study_that_cannot_run_is_refused_with_the_reason(axes, message):
    with pytest.raises(InputError, match=message):
        make(axes)


def test_the_baseline_is_representable_even_outside_the_space():
    inside, outside = make(), make({"backend": {"engines": ["onnxruntime"]}})
    assert baseline(6, 2) in inside and baseline(6, 2) not in outside
    assert seeds(outside)[0] == baseline(6, 2)
    with pytest.raises(ValueError, match="not in the search space"):
        outside.params(baseline(6, 2))


def test_seeds_cover_engines_bits_and_depths():
    space = make()
    found = seeds(space)
    assert found[0] == baseline(6, 2)
    assert 8 <= len(found) <= 13 and len(set(found)) == len(found)
    assert all(candidate in space for candidate in found)
    assert {c.backend.engine for c in found} == {"torch", "torch-compile", "onnxruntime", "openvino"}
    assert {c.quantization.bits for c in found} == {32, 16, 8, 4}
    assert len({c.distillation.student_layers for c in found}) >= 3
    assert any(c.parallel.replicas > 1 for c in found)
    assert any(c.backend.fixed_shape for c in found)


def test_seeds_respect_the_axes():
    axes = {
        "distillation": {"student_layers": [2, 3]},
        "quantization": {"bits": [8]},
        "pruning": {"ffn": [0.5]},
    }
    space = make(axes, cores=1)
    rest = seeds(space)[1:]
    assert rest and all(candidate in space for candidate in rest)


def test_untried_finds_the_last_one_and_then_none():
    space = make({"distillation": {"student_layers": [1, 2]}, "backend": {"engines": ["torch"]}}, cores=1)
    every = list(space.enumerate())
    rng = random.Random(0)
    assert space.untried({c.hash for c in every[:-1]}, rng) == every[-1]
    assert space.untried({c.hash for c in every}, rng) is None


# -- text-generation

CHAT = {"layers": 30, "heads": 9, "ffn": 1536, "hidden": 576, "refused": {}}
GENERATES = [
    (engine, Offer("cpu", bits, scheme, task="text-generation", **more))
    for engine, bits, scheme, more in (
        ("torch", 32, "none", {}),
        ("torch", 16, "none", {}),
        ("onnxruntime-genai", 8, "weight-only", {}),
        ("onnxruntime-genai", 4, "weight-only", {"group_sizes": (32, 64), "methods": ("rtn", "k_quant")}),
        ("openvino", 8, "weight-only", {"kv_bits": (None, 8)}),
        ("openvino", 4, "weight-only", {"group_sizes": (32, 64), "methods": ("rtn", "awq", "gptq"),
                                        "kv_bits": (None, 16, 8)}),
    )
]  # fmt: skip


def chat(offers=GENERATES, **quantization) -> Space:
    axes = {"quantization": {"bits": [32, 16, 8, 4], "group_size": [32, 64], **quantization}}
    axes |= {"distillation": {"student_layers": [24, 27, 30]}, "pruning": {"heads": [0.0], "ffn": [0, 0.25]}}
    return Space(Axes.model_validate(axes | {"backend": {"fixed_shape": [False]}}), CHAT, offers, 2)


def formats(space: Space, engine: str, bits: int) -> set[tuple]:
    found = [q for q, b in space.pairs() if b.engine == engine and q.bits == bits]
    return {(q.method, q.kv_bits) for q in found}


def test_an_engine_does_as_it_does_unless_the_study_says_otherwise():
    space = chat()
    assert formats(space, "openvino", 4) == {("rtn", None)} == formats(space, "onnxruntime-genai", 4)
    assert formats(space, "openvino", 8) == {
        (None, None)
    }  # int8 of weights alone needs no scheme of the study
    wide = chat(methods=["gptq", "k_quant", "rtn"], kv_bits=[16, 8])
    assert formats(wide, "openvino", 4) == {(m, kv) for m in ("rtn", "gptq") for kv in (16, 8)}
    assert formats(wide, "openvino", 8) == {(None, 8)}
    assert formats(wide, "onnxruntime-genai", 4) == {("rtn", None), ("k_quant", None)}
    assert formats(wide, "torch", 16) == {(None, None)}
    none = chat(methods=["k_quant"], kv_bits=[4])
    assert not formats(none, "openvino", 4)
    assert "openvino@cpu 4 bits weight-only: no value of the study's ranges fits" in none.notes


def test_methods_and_caches_are_parameters_of_their_own_and_come_back():
    space = chat(methods=["rtn", "awq"], kv_bits=[16, 8])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    names: set[str] = set()
    for _ in range(80):
        trial = study.ask()
        candidate = space.suggest(trial)
        assert candidate in space and space.params(candidate) == trial.params
        assert space.distributions(candidate) == trial.distributions
        names |= set(trial.params)
        study.tell(trial, 0.0)
    assert {"openvino@cpu.4.method", "openvino@cpu.4.kv_bits"} <= names
    assert not {"onnxruntime-genai@cpu.4.method", "openvino@cpu.8.kv_bits", "torch@cpu.16.method"} & names
    assert len(set(space.enumerate())) == space.size()


def test_the_signature_says_what_may_be_chosen_and_nothing_of_it_where_there_is_nothing():
    legs = {(leg[0], leg[1]): leg for leg in chat(kv_bits=[8]).signature()["legs"]}
    assert legs["openvino@cpu", 4] == ["openvino@cpu", 4, "weight-only", [32, 64], [False], ["rtn"], [8]]
    assert legs["torch@cpu", 32] == ["torch@cpu", 32, "none", [], [False]]
    assert all(len(leg) == 5 for leg in make().signature()["legs"])  # as studies of earlier have it stored


def test_each_engines_own_way_comes_first_in_a_language_models_study():
    space = chat(methods=["gptq", "rtn"])
    found, own = seeds(space, "text-generation"), peers(space)
    assert found[0] == baseline(30, 2) and found[1 : len(own) + 1] == own
    assert [(c.backend.engine, c.quantization.bits, c.quantization.method) for c in own] == [
        ("onnxruntime-genai", 4, "rtn"),
        ("openvino", 4, "rtn"),
        ("onnxruntime-genai", 8, None),
        ("openvino", 8, None),
        ("torch", 16, None),
    ]
    assert all(c.is_unshaped(30) for c in own)
    rest = found[len(own) + 1 :]
    assert {(c.distillation.student_layers, c.pruning.ffn) for c in rest} >= {(30, 0.25), (27, 0.0)}
    assert all(c in space for c in found) and len(set(found)) == len(found)


def test_the_fastest_engines_ways_to_choose_weights_come_next():
    offered = Offer("cpu", 4, "weight-only", methods=("q4_0", "q4_1", "gptq"), task="text-generation")
    space = chat([*GENERATES, ("llama-cpp", offered)], methods=["gptq", "q4_0", "q4_1", "rtn"])
    found = ways(space)
    assert [(c.backend.engine, c.quantization.method) for c in found] == [
        ("llama-cpp", "q4_1"),
        ("llama-cpp", "gptq"),
    ]
    assert known_ways(space) == [*peers(space), *found] and all(c in space for c in found)


DRAFTS = {"drafts": ("lookup", "student"), "task": "text-generation"}
LLAMA = [
    ("llama-cpp", Offer("cpu", 4, "weight-only", methods=("q4_0",), batches=True, **DRAFTS)),
    ("torch", Offer("cpu", 32, **DRAFTS)),
]


def served(clients=1, **axes) -> Space:
    return Space(Axes.model_validate(axes), CHAT, LLAMA, 2, clients)


def comes_back(space: Space, trials: int = 120) -> set[str]:
    """Ask for candidates, hold each to its parameters, and return the names of all parameters."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    names: set[str] = set()
    for _ in range(trials):
        trial = study.ask()
        candidate = space.suggest(trial)
        assert candidate in space and space.params(candidate) == trial.params
        assert space.distributions(candidate) == trial.distributions
        assert Candidate.model_validate(candidate.canonical()) == candidate
        names |= set(trial.params)
        study.tell(trial, 0.0)
    return names


def test_clients_are_answered_together_where_there_are_several_and_the_engine_can():
    space = served(8, parallel={"threads": [1]}, backend={"draft": ["none", "lookup"]})
    found = {(c.backend.engine, c.backend.draft): set() for c in space.enumerate()}
    for c in space.enumerate():
        found[c.backend.engine, c.backend.draft].add((c.parallel.replicas, c.parallel.slots))
    together = {(1, 1), (1, 2), (1, 4), (1, 8), (2, 1), (2, 2), (2, 4)}
    assert found["llama-cpp", None] == together
    assert found["llama-cpp", "lookup"] == found["torch", None] == {(1, 1), (2, 1)}
    assert {"llama-cpp@cpu.1r.slots", "llama-cpp@cpu.2r.slots"} <= comes_back(space)
    assert len(set(space.enumerate())) == space.size()
    assert all(c.parallel.slots == 1 for c in served(1).enumerate())
    assert "slots" in space.signature() and "slots" not in served(1).signature()
    first = seeds(space, "text-generation")
    assert next(c for c in first if c.backend.engine == "llama-cpp").parallel.slots == 8
    few = served(8, parallel={"threads": [1], "replicas": [1], "slots": [4, 64]})
    assert {c.parallel.slots for c in few.enumerate() if c.backend.engine == "llama-cpp"} == {4, 8}


def test_a_student_drafts_where_it_is_smaller_and_the_engine_has_its_bits():
    layers = {"student_layers": [20, 30]}
    wanted = {
        "draft": ["none", "student"],
        "draft_layers": [5, 10, 20],
        "draft_ffn": [0.0, 0.5],
        "draft_bits": [4],
    }
    space = served(distillation=layers, backend=wanted)
    drafting = {c.backend.drafting[1:] for c in space.enumerate() if c.backend.draft == "student"}
    assert drafting == {(depth, ffn, 4) for depth in (5, 10) for ffn in (0.0, 0.5)}
    assert {c.backend.engine for c in space.enumerate() if c.backend.draft} == {
        "llama-cpp"
    }  # torch has no 4 bits
    assert {f"llama-cpp@cpu.4.{name}" for name in ("draft", "draft_layers", "draft_ffn")} <= comes_back(space)
    assert len(set(space.enumerate())) == space.size()
    assert any(c.backend.draft == "student" for c in seeds(space, "text-generation"))
    default = served(distillation=layers, backend={"draft": ["none", "student"], "draft_bits": [32, 4]})
    found = {(c.backend.engine, *c.backend.drafting[1:]) for c in default.enumerate() if c.backend.draft}
    assert found == {("llama-cpp", 10, 0.0, 4), ("torch", 10, 0.0, 32)}
    assert served(backend={"draft": ["none", "student"]}).notes == []


CARDS = [
    ("torch", Offer("cpu", 32)),
    *(
        ("torch", Offer("cuda", b, s, fixed_shape=True))
        for b, s in ((32, "none"), (32, "tf32"), (16, "fp16"))
    ),
    ("torch-compile", Offer("cuda", 8, "fp8", fixed_shape=True)),
]


def test_on_a_gpu_there_is_one_thread_and_the_baseline_is_there_too():
    axes = {"backend": {"devices": ["cuda"]}, "quantization": {"schemes": ["fp8"]}}
    space = make(axes, CARDS, cores=8)
    assert {(c.parallel.threads, c.parallel.replicas) for c in space.enumerate()} == {(1, 1), (1, 2), (1, 4)}
    assert {(c.quantization.bits, c.quantization.scheme) for c in space.enumerate()} == {
        (32, "none"), (32, "tf32"), (16, "fp16"), (8, "fp8"),
    }  # fmt: skip
    first = seeds(space)[0]
    assert first == baseline(6, 8, "cuda")
    assert first in space
    assert first.parallel.threads == 1


def test_processor_and_gpu_in_one_space():
    space = make({"backend": {"devices": ["cpu", "cuda"]}}, CARDS[:3], cores=2)
    every = list(space.enumerate())
    assert len(every) == len(set(every)) == space.size()
    threads = {(c.backend.device, c.parallel.threads) for c in every}
    assert threads == {("cpu", 1), ("cpu", 2), ("cuda", 1)}
    assert seeds(space)[0].backend.device == "cpu"
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
    for _ in range(40):
        trial = study.ask()
        candidate = space.suggest(trial)
        assert candidate in space
        assert space.params(candidate) == trial.params
        study.tell(trial, 0.0)


def test_sparse_weights_are_a_choice_only_where_an_engine_has_kernels_for_them():
    offers = [
        ("torch", Offer("cpu", 32)),
        ("torch", Offer("cuda", 32)),
        ("torch", Offer("cuda", 16, "fp16", semi_structured=True)),
    ]
    axes = {
        "pruning": {"heads": [0.0], "ffn": [0.0], "semi_structured": [False, True]},
        "backend": {"devices": ["cuda", "cpu"], "fixed_shape": [False]},
        "parallel": {"threads": [1], "replicas": [1]},
        "distillation": {"student_layers": [6]},
    }
    space = make(axes, offers)
    sparse = {(c.backend.device, c.quantization.bits) for c in space.enumerate() if c.pruning.semi_structured}
    assert sparse == {("cuda", 16)}
    assert space.size() == len(list(space.enumerate())) == 4
    every = {space.draw(random.Random(seed)) for seed in range(60)}
    assert every == set(space.enumerate())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(30):
        trial = study.ask()
        candidate = space.suggest(trial)
        assert candidate in space
        assert (space.params(candidate), space.distributions(candidate)) == (
            trial.params,
            trial.distributions,
        )
        study.tell(trial, 0.0)
    plain = make({**axes, "pruning": {"heads": [0.0], "ffn": [0.0]}}, offers)
    assert not any(c.pruning.semi_structured for c in plain.enumerate())
    dense = next(plain.enumerate())
    assert (
        "semi_structured" not in dense.canonical()["pruning"]
    )  # its hash is what it was before there was the field
    assert " 2:4 " in next(c for c in space.enumerate() if c.pruning.semi_structured).label()


# -- divided models

DIVIDES = [("torch", Offer("cpu", 32, ranks=4)), ("torch", Offer("cpu", 16, ranks=4)), *OFFERS[3:6]]


def divided(parallel, cores=4, offers=DIVIDES, **anatomy):
    axes = {
        "parallel": parallel,
        "distillation": {"student_layers": [1, 2, 4]},
        "pruning": {"heads": [0], "ffn": [0]},
    }
    return make(axes, offers=offers, cores=cores, **anatomy)


def test_processes_threads_and_replicas_stay_within_the_cores():
    space = divided({"tensor": [1, 2, 4], "pipeline": [1, 2]})
    every = list(space.enumerate())
    assert len(every) == len(set(every)) == space.size() and all(c in space for c in every)
    assert max(c.parallel.cores for c in every) == 4
    found = {(p.tensor, p.pipeline) for p in (c.parallel for c in every)}
    assert found == {(1, 1), (2, 1), (4, 1), (1, 2)}
    assert {c.parallel.threads for c in every if c.parallel.tensor == 2} == {1, 2}


def test_only_who_can_divide_a_model_is_asked_to():
    parts = [
        c for c in divided({"tensor": [1, 2], "pipeline": [1, 2, 4]}).enumerate() if c.parallel.ranks > 1
    ]
    assert {c.backend.engine for c in parts} == {"torch"}
    assert {c.distillation.student_layers for c in parts if c.parallel.pipeline == 4} == {4}
    assert {c.distillation.student_layers for c in parts if c.parallel.tensor == 2} == {1, 2, 4}


def test_what_leaves_no_choice_stays_in_one_process():
    only = [c.parallel for c in divided({"pipeline": [4]}).enumerate() if c.backend.engine == "torch"]
    assert {p.pipeline for p in only} == {1, 4}  # students of fewer than four layers cannot be divided so


def test_divided_candidates_are_what_optuna_draws():
    space = divided({"tensor": [1, 2], "pipeline": [1, 2, 4]})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
    ranks = set()
    for _ in range(80):
        trial = study.ask()
        candidate = space.suggest(trial)
        assert (
            space.distributions(candidate) == trial.distributions and space.params(candidate) == trial.params
        )
        study.tell(trial, 0.0)
        ranks.add(candidate.parallel.ranks)
    assert ranks == {1, 2, 4}


def test_a_study_without_degrees_is_the_same_as_before():
    assert divided({}).signature() == divided({"tensor": [1]}).signature()
    assert "ways" not in divided({}).signature() and "ways" in divided({"tensor": [1, 2]}).signature()
    plain = next(divided({}).enumerate())
    assert "tensor" not in plain.canonical()["parallel"] and plain.label().endswith("1x1")
    both = plain.model_copy(update={"parallel": plain.parallel.model_copy(update={"tensor": 2})})
    assert both.hash != plain.hash and both.label().endswith("1x1/tp2")


def test_seeds_are_not_divided():
    assert {c.parallel.ranks for c in seeds(divided({"tensor": [1, 2]}))} == {1}


@pytest.mark.parametrize(
    ("parallel", "more", "message"),
    [
        ({"tensor": [1, 8]}, {}, "tensor: 8 processes: each needs a core of its own, and this host has 4"),
        ({"tensor": [1, 2]}, {"offers": OFFERS}, "only the engine torch divides a model, in 32 or 16 bits"),
        (
            {"tensor": [2], "threads": [4]},
            {},
            "no threads x replicas of the study fits beside it into the 4 cores",
        ),
        ({"tensor": [1, 3]}, {"heads": 4, "ffn": 64}, "3 divides neither the 4 heads nor the 64 FFN neurons"),
        (
            {"pipeline": [1, 4]},
            {"layers": 4, "undivided": "no plan for it"},
            "pipeline: 4 processes: no plan for it",
        ),
        ({"tensor": [2], "pipeline": [2]}, {}, "a model is divided in one way, so let one of them be 1"),
        (
            {"tensor": [1, 4]},
            {"offers": [("torch", Offer("cpu", 32, ranks=2))]},
            "4 processes: torch@cpu can have 2 here",
        ),
    ],
)
def test_a_degree_that_nothing_can_have_is_refused_with_the_reason(parallel, more, message):
    with pytest.raises(InputError, match=message):
        divided(parallel, **more)
