"""Cache: a whole entry or none, the same key for the same parts, and clear errors."""

import os

import pytest

from tuner.errors import JobError
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


def test_sweep_removes_what_a_kill_left(tmp_path):
    (tmp_path / "partial" / "stage-x").mkdir(parents=True)

    assert os.listdir(tmp_path) == []


def test_hashes_follow_content(tmp_path):
    (tmp_path / "a").write_text("1")
    before = tree_hash(tmp_path)
    (tmp_path / "a").write_text("2")
    assert tree_hash(tmp_path) != before
    assert code_hash("tuner.errors") != code_hash("tuner.metrics")
