"""What `tuner gc` removes and what it leaves: a cache made by the real `Cache`, and references in real rows."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace

import pytest
from filelock import FileLock

from tests.service.rowed import BASE_MS, candidate, metrics, queue, spec, stored
from tests.store.claims import claim
from tuner.hardware import this_host
from tuner.pipeline.cache import Cache
from tuner.service import api
from tuner.stage import StageRun
from tuner.store import Store
from tuner.store.records import Artefact

OLD = 90_000.0  # seconds: more than a day


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def store(url, home):
    with Store.open(url) as opened:
        yield opened


class Line:
    """The entries of one candidate, each made from those before it, as the pipeline does; `label` tells lines apart."""

    def __init__(self, home, label):
        self._cache, self._label = Cache(home / "cache"), label
        self.documents = self._made("documents")
        self.tokenizer = self._made("tokenizer", documents=self.documents.key, size=4000)
        self.source = self._made("source")
        self.data = self._made("data", documents=self.documents.key)
        self.teacher = self._made("fine-tune", source=self.source.key, data=self.data.key)
        self.described = self._made("describe", teacher=self.teacher.key)
        self.shaped = self._made("shape", teacher=self.teacher.key)
        self.outputs = self._made("teacher-outputs", teacher=self.teacher.key, data=self.data.key)
        self.student = self._made("recover", shaped=self.shaped.key, outputs=self.outputs.key)
        self.build = self._made(
            "build", checkpoint=self.student.key, data=self.data.key, request={"bits": [8]}
        )
        self.quality = self._made("quality", artefact=self.build.key)
        self.shared = home / "cache/export" / self.student.key
        self.shared.mkdir(parents=True)
        (self.shared / "model.onnx").write_bytes(b"x" * 5000)

    def _made(self, kind, **parts):
        return self._cache.get(kind, {"label": self._label, **parts}, self._fill)

    def _fill(self, out):
        (out / "weights").write_bytes(self._label.encode() * 1000)
        return {}

    @property
    def entries(self):
        return [e for e in vars(self).values() if hasattr(e, "kind")]

    @property
    def there(self):
        return [e.path.exists() for e in self.entries] + [self.shared.exists()]

    def age(self, seconds=OLD):
        for path in [*(e.path / "entry.json" for e in self.entries), *self.shared.iterdir(), self.shared]:
            aged(path, seconds)


def aged(path, seconds=OLD):
    os.utime(path, (time.time() - seconds,) * 2)


def complete(store, study, line, found):
    """Store a trial that was made from these entries, as the pipeline does."""
    stages = [
        StageRun(e.kind, e.key, False, 1.0) for e in (line.shaped, line.student, line.build, line.quality)
    ]
    numbers, ratio = metrics(2.0, 0.0)
    trial = claim(store, queue(store, study, found), host=this_host())
    size = sum(p.stat().st_size for p in line.build.path.iterdir())
    made = Artefact(line.build.key, "build", str(line.build.path), line.build.sha256, size)
    store.record_artefact(made, this_host())
    return store.finish_trial(
        trial, numbers, ratio=ratio, stages=stages, artefact_key=line.build.key, reference_ms=BASE_MS
    )


def test_what_a_study_refers_to_stays_with_all_that_it_was_made_from(store, url, home):
    used, loose = Line(home, "used"), Line(home, "loose")
    used.age(), loose.age()
    complete(store, stored(store), used, candidate(3))
    store.record_artefact(Artefact(loose.build.key, "build", "x", "", 1), this_host())
    found = api.collect_garbage(db=url)
    assert all(used.there) and not any(loose.there)
    assert {piece.kind for piece in found.removed} == {e.kind for e in loose.entries} | {"export"}
    assert found.kept == len(used.there) and found.kept_bytes == found.referenced_bytes > 5000
    assert [artefact.key for artefact in store.artefacts()] == [used.build.key]  # and the other's row is gone
    again = api.collect_garbage(db=url)
    assert (again.removed, again.removed_bytes, again.kept) == ((), 0, found.kept)
    assert list((home / "cache/partial").iterdir()) == []


def test_what_two_studies_share_stays_until_both_are_deleted(store, url, home):
    line = Line(home, "shared")
    line.age()
    for name in ("one", "two"):
        complete(store, stored(store, spec(name)), line, candidate(3))
    api.delete("one", url)
    assert api.collect_garbage(db=url).removed == () and all(line.there)
    api.delete("two", url)
    assert len(api.collect_garbage(db=url).removed) == len(line.there) and not any(line.there)
    assert store.artefacts() == []


def test_a_dry_run_changes_nothing_and_says_the_same(store, url, home):
    Line(home, "loose").age()
    leave_litter(home)

    def listing():
        return {str(p): p.stat().st_mtime for p in home.rglob("*")}

    before = listing()
    said = api.collect_garbage(dry_run=True, db=url)
    assert listing() == before
    done = api.collect_garbage(db=url)
    assert {p.key for p in said.removed} == {p.key for p in done.removed} and said.leftovers == done.leftovers
    assert said.dry_run and not done.dry_run and (said.kept, said.kept_bytes) == (done.kept, done.kept_bytes)


def test_what_was_used_within_the_hour_stays(store, url, home):
    old, young = Line(home, "old"), Line(home, "young")
    old.age(3700), young.age(3500)
    api.collect_garbage(db=url)
    assert not any(old.there) and all(young.there)


def test_a_cache_hit_is_a_use(store, url, home):
    line = Line(home, "again")
    line.age()
    hit = Cache(home / "cache").get(
        "shape", {"label": "again", "teacher": line.teacher.key}, lambda out: None
    )
    assert hit.hit and hit.path == line.shaped.path
    api.collect_garbage(db=url)
    assert line.shaped.path.exists() and not line.student.path.exists()


def test_what_was_used_since_the_oldest_running_trial_began_stays(store, url, home, monkeypatch):
    line = Line(home, "in use")
    line.age(7200)
    trial = claim(store, queue(store, stored(store), candidate(3)), host=this_host())
    running = [replace(each, since=each.since.replace(year=each.since.year - 1)) for each in store.running()]
    monkeypatch.setattr(Store, "running", lambda self: running)
    assert api.collect_garbage(db=url).removed == () and all(line.there)
    monkeypatch.undo()
    monkeypatch.setenv("TUNER_HOME", str(home))
    assert trial.state == "running"
    assert api.collect_garbage(db=url).removed != ()  # it began a moment ago


def test_what_was_used_since_a_study_that_is_not_prepared_was_submitted_stays(store, url, home, monkeypatch):
    line = Line(home, "in use")
    line.age(7200)
    made = store.create_study(spec().to_plain())
    early = replace(made, created_at=made.created_at.replace(year=made.created_at.year - 1))
    monkeypatch.setattr(Store, "studies_in", lambda self, states: [early] if "queued" in states else [])
    assert api.collect_garbage(db=url).removed == () and all(line.there)


def test_keeping_a_size_leaves_the_last_used(store, url, home):
    lines = [Line(home, label) for label in ("aaa", "bbb", "ccc")]
    for i, line in enumerate(lines):
        line.age(OLD + 1000 * i)
    sizes = [piece.size_bytes for piece in api.collect_garbage(dry_run=True, db=url).removed]
    third = sum(sizes) // 3
    found = api.collect_garbage(keep_bytes=third + 500, db=url)
    assert all(lines[0].there) and not any(lines[2].there) and found.kept_bytes <= third + 500
    assert api.collect_garbage(keep_bytes=10**12, db=url).removed == ()
    assert api.collect_garbage(db=url).kept == 0


def test_what_is_referred_to_stays_whatever_the_size(store, url, home):
    used, loose = Line(home, "used"), Line(home, "loose")
    used.age(), loose.age()
    complete(store, stored(store), used, candidate(3))
    api.collect_garbage(keep_bytes=1, db=url)
    assert all(used.there) and not any(loose.there)


def leave_litter(home):
    """Make what crashes leave, old and new: of each kind one that goes, then one that stays."""
    made = []
    for folder, names in {
        "cache/partial": ("build-abc-1", "build-abc-2"), "jobs": ("job-old", "job-new"),
    }.items():  # fmt: skip
        for name in names:
            path = home / folder / name
            path.mkdir(parents=True)
            (path / "log").write_text("x")
            made.append(path)
    for folder in ("cache/locks", "workers"):
        for name in ("old.lock", "new.lock"):
            path = home / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            made.append(path)
    for path in made[::2]:
        for each in [*path.rglob("*"), path]:
            aged(each)
    return made


def test_leftovers_of_crashes_go_after_a_day(store, url, home):
    made = leave_litter(home)
    found = api.collect_garbage(db=url)
    assert sorted(found.leftovers) == sorted(made[::2])
    assert [path.exists() for path in made] == [False, True] * 4


def test_a_lock_that_is_held_and_a_job_that_runs_stay(store, url, home):
    lock, job = home / "cache/locks/build-x.lock", home / "jobs/job-x"
    lock.parent.mkdir(parents=True)
    job.mkdir(parents=True)
    (job / "log").write_text("it runs")
    with FileLock(lock), (job / "log").open():
        for path in (lock, job / "log", job):
            aged(path)
        found = api.collect_garbage(db=url)
        assert lock.exists() and job.exists() and job not in found.leftovers
    for path in (lock, job / "log", job):
        aged(path)
    api.collect_garbage(db=url)
    assert not lock.exists() and not job.exists()


def test_an_empty_home_is_no_error(store, url, home):
    found = api.collect_garbage(db=url)
    assert (found.removed, found.leftovers, found.kept) == ((), (), 0)
    assert json.loads(json.dumps(found.to_json()))["removed_bytes"] == 0


def test_an_entry_whose_description_is_broken_is_only_an_entry(store, url, home):
    line = Line(home, "broken")
    complete(store, stored(store), line, candidate(3))
    (line.student.path / "entry.json").write_text("{")
    line.age()
    api.collect_garbage(db=url)
    assert line.student.path.exists() and line.build.path.exists()
