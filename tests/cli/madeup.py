"""A study with made-up numbers, written through the store as a real one would be."""

from tests.store.claims import claim, run
from tuner.candidate import Backend, Candidate, Distillation, Parallel, Pruning, Quantization, baseline
from tuner.hardware import this_host
from tuner.metrics import Estimate
from tuner.spec.model import StudySpec
from tuner.store import StageRun, Store

BASE_MS = 60.0


def around(value, half):
    return Estimate(value=value, low=value - half, high=value + half)


def metrics(speedup, accuracy):
    """Return a trial's metrics and its ratio."""
    ratio = around(1 / speedup, 0.02 / speedup)
    found = {
        "accuracy": around(accuracy, 0.02),
        "accuracy_drop": around(0.95 - accuracy, 0.01),
        "latency_ms": ratio.scaled(BASE_MS),
        "speedup": Estimate(value=speedup, low=1 / ratio.high, high=1 / ratio.low),
        "throughput": around(1000 * speedup / BASE_MS, 1.0),
        "memory_mb": Estimate.exact(120.0),
        "size_mb": Estimate.exact(20.0),
        "energy_j": None,
    }
    return found, ratio


def int8(layers, engine="openvino", heads=0.0):
    return Candidate(
        distillation=Distillation(student_layers=layers),
        pruning=Pruning(heads=heads, ffn=heads),
        quantization=Quantization(bits=8, scheme="static"),
        parallel=Parallel(threads=2),
        backend=Backend(engine=engine),
    )


#: candidate, speedup and accuracy in the search, the same confirmed (or None)
TRIALS = [
    (baseline(6, 2), 1.0, 0.95, (1.0, 0.95)),
    (int8(6), 5.0, 0.951, (5.1, 0.949)),
    (int8(2), 15.0, 0.948, (14.0, 0.945)),
    (int8(1), 30.0, 0.943, (29.0, 0.941)),
    (int8(1, heads=0.5), 40.0, 0.70, None),
    (int8(3, "onnxruntime"), 6.0, 0.945, None),
]


def generated(speedup, increase):
    """Return the metrics of a language model's trial and its ratio."""
    found, ratio = metrics(speedup, 0.0)
    kept = {name: found[name] for name in ("latency_ms", "speedup", "memory_mb", "size_mb")}
    return {
        "perplexity": around(20 * (1 + increase), 0.4),
        "perplexity_increase": around(increase, 0.01),
        "agreement": around(1 - 2 * increase, 0.05),
        **kept,
        "ttft_ms": ratio.scaled(9.0),
        "tpot_ms": ratio.scaled(4.6),
        "tokens_per_s": around(21.5 * speedup, 0.5),
    }, ratio


def weights(bits, engine, method=None, layers=30):
    return Candidate(
        distillation=Distillation(student_layers=layers),
        quantization=Quantization(bits=bits, scheme="weight-only", group_size=32, method=method),
        parallel=Parallel(threads=2),
        backend=Backend(engine=engine),
    )


#: Of a language model: candidate, speedup and growth of perplexity in the search, the same confirmed.
CHAT_TRIALS = [
    (baseline(30, 2), 1.0, 0.0, (1.0, 0.0)),
    (weights(8, "openvino"), 6.0, 0.005, (5.9, 0.006)),
    (weights(4, "onnxruntime-genai", "rtn"), 9.0, 0.06, (9.2, 0.071)),
    (weights(4, "openvino", "rtn", 24), 11.0, 0.4, None),
]
CHAT = StudySpec.model_validate(
    {
        "name": "chat", "task": "text-generation", "budget": {"trials": 5},
        "model": {"source": "pkg://somewhere/model"}, "data": {"source": "pkg://somewhere/data"},
        "scenario": {"prompt_tokens": 64, "new_tokens": 32},
    }
).model_dump(mode="json", exclude={"name", "constraints"})  # fmt: skip


def store_chat(url, name="chat", constraints=("perplexity_increase <= 0.1",)):
    """Store a language model's study: four measured trials, and one that failed."""
    store_study(url, name, constraints, trials=CHAT_TRIALS, measured=generated, **CHAT)


def served(speedup, accuracy):
    """Return the metrics of a trial of the server scenario and its ratio: what is slow holds no rate."""
    found, ratio = metrics(speedup, accuracy)
    rate, p99 = 4 * speedup, 200 / speedup
    found["server_rate"] = Estimate(value=rate, low=0.95 * rate, high=1.05 * rate)
    found["server_p99_ms"] = Estimate(value=p99, low=0.9 * p99, high=1.1 * p99 if p99 < 150 else 1.7e308)
    return found | {"cores": Estimate.exact(1 if speedup > 10 else 2)}, ratio


def store_served(url, rate, name="server"):
    """Store a study of the server scenario."""
    scenario = {"mode": "server", "rate": rate, "p99_ms": 50.0, "batch": 1, "sequence_length": 128}
    traded = ["accuracy", "server_rate" if rate == "max" else "cores"]
    constraints = ["accuracy_drop <= 0.01", "server_p99_ms <= 50"]
    store_study(url, name, constraints, measured=served, scenario=scenario, objectives=traded)


def store_study(url, name="made-up", constraints=("accuracy_drop <= 0.01",), state="finished", trials=TRIALS,
                measured=metrics, **more):  # fmt: skip
    """Store the study: some measured trials, and one that failed."""
    spec = {
        "name": name, "metric": "accuracy", "objectives": ["accuracy", "latency_ms"],
        "constraints": list(constraints), "budget": {"trials": 7},
        "scenario": {"mode": "single-stream", "batch": 1, "sequence_length": 128},
        "axes": {"backend": {"devices": ["cpu"]}}, **more,
    }  # fmt: skip
    base = trials[0][0]
    prepared = {
        "anatomy": {"layers": base.distillation.student_layers}, "cores": base.parallel.threads, "offers": [],
    }  # fmt: skip
    with Store.open(url) as store:
        study = store.move_study(run(store, store.create_study(spec, this_host())), meta=prepared)
        for number, (candidate, speedup, quality, confirmed) in enumerate(trials):
            store.new_trial(study, number, candidate)
            trial = claim(store, host=this_host())
            found, ratio = measured(speedup, quality)
            stages = [StageRun("build", "abc", number == 1, 2.5)]
            store.finish_trial(
                trial, found, ratio=ratio, stages=stages, reference_ms=BASE_MS, clock_ms=BASE_MS
            )
            if confirmed:
                store.confirm_trial(study, trial.id, *measured(*confirmed))
        store.new_trial(study, len(trials), int8(4))
        failed = claim(store, host=this_host())
        store.fail_trial(failed, "out-of-memory", "took 9000 MB, limit 8000 MB", "last line")
        store.release_study(study)
        store.set_study_state(study, state)
