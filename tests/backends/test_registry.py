"""Finding engines: what each offers on which host, and what happens with a plug-in that breaks."""

import dataclasses
import importlib.metadata
import subprocess
import sys
from itertools import chain

import pytest

from tuner.backends import registry
from tuner.errors import UnsupportedError
from tuner.hardware import this_host

ZEN5 = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16")


def offered(host, engine, device="cpu"):
    found = registry.offers(host, "text-classification")
    return {(o.bits, o.scheme): o for e, o in found if (e, o.device) == (engine, device)}


@pytest.fixture
def host():
    return dataclasses.replace(this_host(), flags=("avx2",), compiler="/usr/bin/g++")


def test_bf16_follows_the_processor(host):
    for engine in ("torch", "torch-compile"):
        refused = offered(host, engine)[16, "none"]
        assert not refused.available
        assert "bf16" in refused.reason
        assert offered(dataclasses.replace(host, flags=ZEN5), engine)[16, "none"].available


def test_torch_compile_needs_a_compiler(host):
    assert offered(host, "torch-compile")[32, "none"].available
    without = offered(dataclasses.replace(host, compiler=None), "torch-compile")
    assert not any(offer.available for offer in without.values())
    assert "compiler" in without[32, "none"].reason


def test_every_engine_answers_for_every_width(host):
    for engine in ("torch", "torch-compile", "onnxruntime", "openvino", "xla"):
        assert {bits for bits, _ in offered(host, engine)} == {32, 16, 8, 4}


def absent(name):
    raise importlib.metadata.PackageNotFoundError(name)


def test_a_missing_package_is_a_reason(host, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", absent)
    for engine in ("onnxruntime", "openvino", "xla"):
        for offer in offered(host, engine).values():
            assert not offer.available
        assert "pip install" in offered(host, engine)[32, "none"].reason


@pytest.mark.parametrize("broken", ["no.such.module:Backend", "json:loads", "collections:OrderedDict"])
def test_a_broken_plugin_is_a_refusal_and_the_others_stay(broken, host, monkeypatch):
    real = importlib.metadata.entry_points(group=registry.GROUP)
    bad = importlib.metadata.EntryPoint("broken", broken, registry.GROUP)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [*real, bad])
    registry._loaded.cache_clear()
    registry.backends.cache_clear()
    try:
        (refusal,) = offered(host, "broken").values()
        assert not refusal.available
        assert refusal.reason
        assert "broken" not in registry.backends()
        assert "onnxruntime" in registry.backends()
    finally:
        registry._loaded.cache_clear()
        registry.backends.cache_clear()


HEAVY = {"torch", "transformers", "onnxruntime", "openvino", "nncf", "onnx", "optuna", "jax"}


def loaded_by(code):
    script = f"import sys\n{code}\nprint(*sorted(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_offers_load_no_engine():
    code = "from tuner.backends.registry import offers\nfrom tuner.hardware import this_host\noffers(this_host())"
    assert not loaded_by(code) & HEAVY


@pytest.mark.parametrize(
    ("session", "engine"),
    [("onnxruntime_session", "onnxruntime"), ("openvino_session", "openvino"), ("xla_session", "jax")],
)
def test_a_session_loads_its_engine_only(session, engine):
    loaded = loaded_by(f"import tuner.runtime.{session}")
    assert loaded & HEAVY == {engine}
    assert "pydantic" not in loaded


def pins(plugin):
    """Return an engine's pins; none where it is not installed, which is said."""
    try:
        return plugin.requirements()
    except UnsupportedError as error:
        assert "pip install" in str(error)
        return []


def test_pins_have_no_local_part():
    found = {name: pins(plugin) for name, plugin in registry.backends().items()}
    assert found["torch"] and found["onnxruntime"] and found["openvino"]
    for pin in chain.from_iterable(found.values()):
        name, _, version = pin.partition("==")
        assert name
        assert version
        assert "+" not in version


def test_what_is_not_installed_has_no_pins(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert not any(pins(plugin) for plugin in registry.backends().values())
