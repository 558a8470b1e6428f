"""Cache: a whole entry or none, the same key for the same parts, and clear errors."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from tuner.errors import JobError, TunerError
from tuner.pipeline.cache import Cache, code_hash, digest, tree_hash


def test_made_once(tmp_path):
    cache, calls = Cache(tmp_path), []

    def make(out):
        calls.append(out)
        (out / "file").write_text("content")
        return {"n": 1}

    first = cache.get("stage", {"a": 1}, make)
    again = cache.get("stage", {"a": 1}, make)
    assert (first.hit, again.hit, len(calls)) == (False, True, 1)
    assert again.info == {"n": 1}
    assert (again.path / "file").read_text() == "content"


def test_other_parts_other_entry(tmp_path):
    cache = Cache(tmp_path)
    keys = {cache.get("stage", parts, lambda out: None).key for parts in ({"a": 1}, {"a": 2}, {"b": 1})}
    assert len(keys) == 3


def test_key_ignores_order():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})


def test_a_failed_make_leaves_nothing(tmp_path):
    cache = Cache(tmp_path)

    def breaks(out):
        (out / "half").write_text("x")
        raise ValueError

    with pytest.raises(ValueError):
        cache.get("stage", {}, breaks)
    assert not list(tmp_path.rglob("half"))
    assert cache.get("stage", {}, lambda out: None).hit is False


def test_full_disk_is_named(tmp_path):
    def fills(out):
        with open("/dev/full", "w") as stream:
            stream.write("x" * 100_000)

    with pytest.raises(JobError, match="no space left") as caught:
        Cache(tmp_path).get("stage", {}, fills)
    assert caught.value.kind == "disk-full"


def _make_slowly(root, answers):
    def make(out):
        with open(root / "calls", "a") as stream:
            stream.write(f"{os.getpid()}\n")
        (out / "file").write_text("content")
        time.sleep(0.4)
        return {"by": os.getpid()}

    answers.put((os.getpid(), Cache(root).get("stage", {"a": 1}, make)))


def test_of_several_processes_that_want_one_entry_the_first_makes_it(tmp_path):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    processes = [context.Process(target=_make_slowly, args=(tmp_path, answers)) for _ in range(4)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=30) for _ in processes]
    for process in processes:
        process.join(10)
    (maker,) = (tmp_path / "calls").read_text().split()
    assert [pid for pid, entry in found if not entry.hit] == [int(maker)]
    assert {entry.info["by"] for _, entry in found} == {int(maker)}
    assert len({(entry.path, entry.sha256) for _, entry in found}) == 1


def test_another_entry_is_made_meanwhile(tmp_path):
    cache = Cache(tmp_path)

    def make(out):
        cache.get("stage", {"a": 2}, lambda other: (other / "file").touch())

    assert cache.get("stage", {"a": 1}, make).hit is False
    assert cache.get("stage", {"a": 2}, make).hit is True


def test_a_process_killed_in_the_middle_leaves_no_entry_and_nobody_waits_for_it(tmp_path):
    def dies(out):
        (out / "half").write_text("x")
        os.kill(os.getpid(), signal.SIGKILL)

    context = multiprocessing.get_context("fork")
    process = context.Process(target=lambda: Cache(tmp_path).get("stage", {"a": 1}, dies))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert [p.name for p in tmp_path.rglob("half")] == ["half"]  # under `partial`: for whoever clears up
    assert not (tmp_path / "stage").exists()
    again = Cache(tmp_path).get("stage", {"a": 1}, lambda out: (out / "whole").write_text("x"))
    assert again.hit is False and sorted(p.name for p in again.path.iterdir()) == ["entry.json", "whole"]


def test_a_frozen_maker_is_not_waited_for(tmp_path):
    def freezes(out):
        (out / "late").write_text("x")
        os.kill(os.getpid(), signal.SIGSTOP)

    process = multiprocessing.get_context("fork").Process(
        target=lambda: Cache(tmp_path).get("stage", {"a": 1}, freezes)
    )
    process.start()
    os.waitpid(process.pid, os.WUNTRACED)  # it is stopped
    began = time.monotonic()
    entry = Cache(tmp_path).get("stage", {"a": 1}, lambda out: (out / "mine").write_text("x"))
    assert not entry.hit and time.monotonic() - began < 20
    os.kill(process.pid, signal.SIGCONT)
    process.join(30)
    assert process.exitcode == 0  # the first one's is kept
    assert sorted(p.name for p in entry.path.iterdir()) == ["entry.json", "mine"]
    assert not list((tmp_path / "partial").iterdir())


def test_an_entry_is_synced_hashed_and_only_then_there(tmp_path, monkeypatch):
    synced, published = [], []
    fsync, rename = os.fsync, Path.rename

    def noted(descriptor):
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def checked(self, target):
        assert not target.exists() and json.loads((self / "entry.json").read_text())["sha256"]
        content = {self, *self.rglob("*")}
        assert content <= set(synced), "renamed before it was on the disk"
        published.append(len(content))
        return rename(self, target)

    def make(out):
        (out / "deep").mkdir()
        (out / "deep" / "file").write_text("content")
        assert not (tmp_path / "stage").exists()
        return {"n": 1}

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "rename", checked)
    entry = Cache(tmp_path).get("stage", {"a": 1}, make)
    assert published == [4] and synced[-1] == tmp_path / "stage"  # and its name is on the disk too
    monkeypatch.undo()
    record = json.loads((entry.path / "entry.json").read_text())
    (entry.path / "entry.json").unlink()
    assert entry.sha256 == record["sha256"] == tree_hash(entry.path)


def test_an_entry_that_another_process_made_meanwhile_is_as_good(tmp_path):
    """A file system without locks lets two in: the second finds the first one's entry in its place."""
    cache = Cache(tmp_path)

    def make(out):
        final = tmp_path / "stage" / digest({"a": 1})
        final.mkdir(parents=True)
        (final / "entry.json").write_text('{"info": {"by": "another"}, "sha256": "theirs"}')
        return {"by": "us"}

    found = cache.get("stage", {"a": 1}, make)
    assert (found.info, found.sha256) == ({"by": "another"}, "theirs")
    assert not list((tmp_path / "partial").iterdir())


def test_an_entry_says_when_it_was_last_used(tmp_path):
    cache = Cache(tmp_path)
    first = cache.get("stage", {"a": 1}, lambda out: None)
    os.utime(first.path / "entry.json", (1, 1))
    assert cache.get("stage", {"a": 1}, lambda out: None).hit
    assert time.time() - (first.path / "entry.json").stat().st_mtime < 60


def test_an_entry_of_before_there_were_hashes_is_served(tmp_path):
    cache = Cache(tmp_path)
    entry = cache.get("stage", {"a": 1}, lambda out: {"n": 1})
    (entry.path / "entry.json").write_text('{"parts": {"a": 1}, "info": {"n": 1}, "seconds": 1.0}')
    found = cache.get("stage", {"a": 1}, lambda out: None)
    assert (found.hit, found.info, found.sha256) == (True, {"n": 1}, "")


def test_a_frozen_cache_finds_and_makes_nothing(tmp_path):
    entry = Cache(tmp_path).get("stage", {"a": 1}, lambda out: None)
    frozen = Cache(tmp_path, frozen=True)
    assert frozen.get("stage", {"a": 1}, lambda out: None).path == entry.path
    with pytest.raises(TunerError, match="stage 'stage' of this study is not in the cache"):
        frozen.get("stage", {"a": 2}, lambda out: None)


@pytest.mark.parametrize("folder", ["locks", "partial", "stage"])
def test_a_cache_that_cannot_be_written_says_where_it_lies(tmp_path, folder):
    (tmp_path / folder).write_text("a file where a folder should be")
    with pytest.raises(TunerError, match=str(tmp_path)) as caught:
        Cache(tmp_path).get("stage", {"a": 1}, lambda out: None)
    assert "\n" not in str(caught.value)


def test_hashes_follow_content(tmp_path):
    (tmp_path / "a").write_text("1")
    before = tree_hash(tmp_path)
    (tmp_path / "a").write_text("2")
    assert tree_hash(tmp_path) != before
    assert code_hash("tuner.errors") != code_hash("tuner.metrics")
