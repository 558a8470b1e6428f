"""A home with a study whose trial can be asked: the tiny language model as a measured artefact in the cache."""

import json

from tests import tiny_chat
from tests.cli.madeup import BASE_MS, CHAT, CHAT_TRIALS, generated
from tests.store.claims import claim, run
from tuner.candidate import Backend, Candidate, Distillation, Parallel
from tuner.hardware import this_host
from tuner.store import Store

KEY = "tinyartefact"
TINY = Candidate(
    distillation=Distillation(student_layers=2), parallel=Parallel(threads=1), backend=Backend(engine="torch")
)


def cached(home, **settings):
    """Write the artefact into the home's cache, with the data and the checkpoint that its entry names."""
    cache = home / "cache"
    tiny_chat.texts(cache / "recover" / "tinycheckpoint")
    (cache / "data" / "tinydata").mkdir(parents=True)
    meta = {"labels": [], "stop_token_ids": [0, 2], "generation": {}, "chat": True}
    (cache / "data" / "tinydata" / "meta.json").write_text(json.dumps(meta))
    made = tiny_chat.artefact(cache / "build" / KEY, **settings)
    parts = {"data": "tinydata", "checkpoint": "tinycheckpoint"}
    (made / "entry.json").write_text(json.dumps({"parts": parts, "info": {}}))
    return made


def store_askable(home, name="askable"):
    """Store a study: trial 0 is the artefact of `cached`, trial 1 was measured elsewhere, trial 2 failed."""
    with Store.open(f"sqlite:///{home}/tuner.db") as store:
        spec = {"name": name, "constraints": [], **CHAT}
        study = run(store, store.create_study(spec, this_host()))
        for number, (candidate, key) in enumerate([(TINY, KEY), (CHAT_TRIALS[1][0], "elsewhere")]):
            store.new_trial(study, number, candidate)
            found, ratio = generated(2.0, 0.01)
            trial = claim(store, host=this_host())
            store.finish_trial(
                trial, found, ratio=ratio, reference_ms=BASE_MS, clock_ms=BASE_MS, artefact_key=key
            )
        store.new_trial(study, 2, CHAT_TRIALS[2][0])
        store.fail_trial(claim(store, host=this_host()), "build", "no such kernel")
        store.release_study(study)
        store.set_study_state(study, "finished")
