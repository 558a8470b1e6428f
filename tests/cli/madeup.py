"""A study with made-up numbers, written through the store as a real one would be."""

from tests.store.claims import claim, run
from tuner.candidate import Backend, Candidate, Distillation, Parallel, Pruning, Quantization, baseline
from tuner.hardware import this_host
from tuner.metrics import Estimate
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


def store_study(url, name="made-up", constraints=("accuracy_drop <= 0.01",), state="finished"):
    """Store the study: six measured trials, and one that failed."""
    spec = {
        "name": name, "metric": "accuracy", "objectives": ["accuracy", "latency_ms"],
        "constraints": list(constraints), "budget": {"trials": 7},
        "scenario": {"mode": "single-stream", "batch": 1, "sequence_length": 128},
    }  # fmt: skip
    with Store.open(url) as store:
        study = run(store, store.create_study(spec, this_host()))
        for number, (candidate, speedup, accuracy, confirmed) in enumerate(TRIALS):
            store.new_trial(study, number, candidate)
            trial = claim(store, host=this_host())
            found, ratio = metrics(speedup, accuracy)
            stages = [StageRun("build", "abc", number == 1, 2.5)]
            store.finish_trial(
                trial, found, ratio=ratio, stages=stages, reference_ms=BASE_MS, clock_ms=BASE_MS
            )
            if confirmed:
                store.confirm_trial(study, trial.id, *metrics(*confirmed))
        store.new_trial(study, 6, int8(4))
        failed = claim(store, host=this_host())
        store.fail_trial(failed, "out-of-memory", "took 9000 MB, limit 8000 MB", "last line")
        store.release_study(study)
        store.set_study_state(study, state)
