"""What `tuner doctor` finds: each lack with its remedy, and nothing made or migrated by looking."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from tests.databases import only_postgresql
from tuner.backends.base import Offer
from tuner.hardware import this_host
from tuner.pipeline.quiet import Quiet
from tuner.service import doctor, machine
from tuner.store import Store, migrate


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TUNER_QUIET", str(tmp_path / "quiet"))
    monkeypatch.delenv("TUNER_DB", raising=False)
    return tmp_path / "home"


def only(look, host=None):
    (found,) = look(host or this_host())
    return found


def test_all_is_looked_at_and_nothing_is_made(home):
    found = {finding.what: finding for finding in doctor.examine()}
    assert {"Python", "cores", "memory", "TUNER_HOME", "disk", "database", "compiler", "engine torch", "sample model",
            "sample data", "PostgreSQL driver", "ray", "language models", "server", "sample chat model",
            "power meter", "quiet lock", "load"} <= set(found)  # fmt: skip
    assert all(finding.remedy for finding in found.values() if finding.state != "ok"), found
    assert not home.exists()
    json.dumps([finding.to_json() for finding in found.values()])


def test_a_home_that_cannot_be_written(home, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TUNER_HOME", str(tmp_path / "file/home"))
    found = only(doctor._home)
    assert found.state == "missing" and "cannot be written" in found.found and "TUNER_HOME" in found.remedy


@pytest.mark.parametrize("free, state", [(5e8, "missing"), (5e9, "note"), (5e10, "ok")])
def test_room_on_the_disk(home, monkeypatch, free, state):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": free})())
    _, found = doctor._home(this_host())
    assert (found.what, found.state) == ("disk", state) and ("tuner gc" in found.remedy) is (state != "ok")


def test_a_database_of_an_older_tuner_is_named_and_not_migrated(url, home, monkeypatch):
    monkeypatch.setenv("TUNER_DB", url)
    with Store.open_as_is() as store:
        migrate.upgrade(store.engine, "0001")
    found = only(doctor._database)
    assert (found.state, found.remedy) == (
        "missing",
        "run: tuner db upgrade",
    ) and "revision 0001" in found.found
    with Store.open_as_is() as store:
        assert migrate.current(store.engine) == "0001"
        migrate.upgrade(store.engine)
    found = only(doctor._database)
    assert found.state == "ok" and migrate.head() in found.found


@only_postgresql
def test_an_empty_server_database_is_no_lack(url, home, monkeypatch):
    monkeypatch.setenv("TUNER_DB", url)
    found = only(doctor._database)
    assert (found.state, found.remedy) == ("note", "run: tuner db upgrade") and "no tables yet" in found.found


def test_a_database_that_is_not_there(home, monkeypatch):
    monkeypatch.setenv("TUNER_DB", "postgresql://nobody@127.0.0.1:1/none")
    found = only(doctor._database)
    assert found.state == "missing" and "does not answer" in found.found and "\n" not in found.found
    monkeypatch.setenv("TUNER_DB", "mysql://x/y")
    assert "TUNER_DB" in only(doctor._database).found


def test_a_file_that_is_no_database(home, monkeypatch, tmp_path):
    (tmp_path / "x.db").write_bytes(b"no database" * 1000)
    monkeypatch.setenv("TUNER_DB", f"sqlite:///{tmp_path}/x.db")
    assert only(doctor._database).state == "missing"
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(tmp_path / "x.db").execute("SELECT * FROM sqlite_master")


def test_compiler_and_meter(home):
    host = replace(this_host(), compiler=None, meters=())
    assert (only(machine.compiler, host).state, only(machine.energy, host).state) == ("note", "note")
    host = replace(host, compiler="/usr/bin/g++", meters=("/sys/x",))
    assert (only(machine.compiler, host).state, only(machine.energy, host).state) == ("ok", "ok")


def test_engines_have_their_reasons_and_torch_is_needed(home, monkeypatch):
    offers = [
        ("torch", Offer("cpu", 32, available=False, reason="torch is not installed")),
        ("openvino", Offer("cpu", 32, available=False, reason="openvino is\nnot installed")),
        ("another", Offer("cpu", 32, available=False, reason="the plug-in x:Y does not load")),
        ("onnxruntime", Offer("cpu", 32)),
        ("onnxruntime", Offer("cpu", 16, available=False, reason="no bf16 here")),
    ]
    monkeypatch.setattr("tuner.backends.registry.offers", lambda host: offers)
    found = {finding.what: finding for finding in doctor._engines(this_host())}
    assert (found["engine torch"].state, found["engine torch"].found) == ("missing", "torch is not installed")
    assert (found["engine openvino"].state, found["engine openvino"].found) == (
        "note",
        "openvino is not installed",
    )
    assert "tuner[openvino]" in found["engine openvino"].remedy
    assert "plug-in" in found["engine another"].remedy
    assert found["engine onnxruntime"].found == "32 bits; for the others see `tuner backends`"


@pytest.mark.parametrize("url, state", [("", "note"), ("postgresql://x/y", "missing")])
def test_the_driver_is_needed_where_the_database_is_postgresql(home, monkeypatch, url, state):
    monkeypatch.setenv("TUNER_DB", url)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    found = {finding.what: finding for finding in doctor._packages(this_host())}
    assert found["PostgreSQL driver"].state == state and found["ray"].state == "note"


def test_what_an_extra_lacks_is_named_with_the_extra(home, monkeypatch):
    lacking, find = {"gguf", "uvicorn"}, doctor.importlib.util.find_spec
    monkeypatch.setattr(
        doctor.importlib.util, "find_spec", lambda name: None if name in lacking else find(name)
    )
    found = {finding.what: finding for finding in doctor._packages(this_host())}
    for what, module, extra in (("language models", "gguf", "generation"), ("server", "uvicorn", "serve")):
        assert (found[what].state, found[what].found) == ("note", f"not installed: {module}")
        assert f"tuner[{extra}]" in found[what].remedy


def test_a_containers_quota_and_cores_that_may_not_be_used(home, tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert machine._quota(tmp_path / "cpu.max") == 1.5
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine._quota(tmp_path / "cpu.max") is None and machine._quota(tmp_path / "nothing") is None
    monkeypatch.setattr(machine, "_quota", lambda: 1.5)
    cores, quota = machine.cores(replace(this_host(), cores=(0, 1)))
    assert cores.what == "cores" and quota.state == "note" and "1.5 cores" in quota.found


def test_the_lock_is_free_held_or_not_usable(home, tmp_path, monkeypatch):
    assert only(machine.lock).found.endswith("free")
    with Quiet().shared():
        found = only(machine.lock)
    assert found.state == "ok" and "held" in found.found
    (tmp_path / "file").touch()
    monkeypatch.setenv("TUNER_QUIET", str(tmp_path / "file/quiet"))
    found = only(machine.lock)
    assert found.state == "missing" and "TUNER_QUIET" in found.remedy


def test_a_process_that_computes_is_named(home, monkeypatch):
    monkeypatch.setattr(machine, "_BUSY", 0.02)  # where others compute as well, it gets a part of a core only
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        psutil.Process(child.pid).cpu_percent()
        found = {int(name.split()[-1]): share for name, share in machine._busy()}
        assert 0.02 < found[child.pid] < 2
    finally:
        child.kill()
        child.wait()
    assert child.pid not in [int(name.split()[-1]) for name, _ in machine._busy()]


def test_a_quiet_machine_and_a_busy_one(home, monkeypatch):
    monkeypatch.setattr(machine, "_busy", lambda: [])
    assert only(machine.load).state == "ok"
    monkeypatch.setattr(machine, "_busy", lambda: [("cc1plus 42", 0.98)])
    found = only(machine.load)
    assert found.state == "note" and "cc1plus 42 (98% of a core)" in found.found
