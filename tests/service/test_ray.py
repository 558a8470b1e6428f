"""Studies on a real Ray cluster of several nodes, all on this machine."""

import os
import signal
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from studies import FIRST_STEPS, front, tuner
from tests.databases import only_sqlite
from tests.service.stub import stub_study
from tuner.candidate import Backend, Quantization, baseline
from tuner.hardware import usable_cores
from tuner.service.overview import read_overview
from tuner.service.requires import study_required
from tuner.spec.model import StudySpec
from tuner.store import Store

ROOT = Path(__file__).parents[2]
STUB = "tests.service.ray_stub:from_folder"
AXES = {
    "distillation": {"student_layers": [1, 2, 3, 6]},
    "quantization": {"bits": [32, 8]},
    "backend": {"engines": ["torch", "onnxruntime"]},
}
POISON = baseline(6, 1).model_copy(
    update={"quantization": Quantization(bits=8, scheme="dynamic"), "backend": Backend(engine="onnxruntime")}
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder that the nodes' stub pipelines look into."""
    return tmp_path_factory.mktemp("ray-stub")


@pytest.fixture(scope="module")
def cluster(folder):
    """A head with one core, and a node with one core, a label, and a custom resource that stands for another.

    This process is connected to it: all its studies are of one job, whose processes on the nodes stay.
    """
    try:
        import ray
        from ray.cluster_utils import Cluster
    except ImportError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI=true demands these tests: {error}")
        pytest.skip(f"Ray is not installed: {error}")
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ray-") as temporary:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("TUNER_HOME", str(folder))
        patch.setenv("RAY_STUB", str(folder))
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        patch.delenv("TUNER_DB", raising=False)
        patch.setenv("RAY_TMPDIR", temporary)  # the path of a socket has room for about 100 characters
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        found.special = found.add_node(num_cpus=1, labels={"hw": "openvino"}, resources={"rack=7": 1})
        ray.init(address=found.address, log_to_driver=False, logging_level="ERROR")
        yield found
        ray.shutdown()
        found.shutdown()
    assert not left_of_ray()


def left_of_ray(seconds=10):
    """Return the processes of Ray among this process's children, once there are none or the time is up."""
    end = time.monotonic() + seconds
    while True:
        family = [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
        left = [
            p
            for p in family
            if any(part in " ".join(p.cmdline()) for part in ("raylet", "gcs_server", "ray::"))
        ]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.1)


@pytest.fixture
def hold(folder):
    """A file that keeps all candidates from coming to their end, as long as it is there."""
    file = folder / "hold"
    file.touch()
    yield file
    file.unlink(missing_ok=True)


def spec_of(**changes):
    return StudySpec.model_validate(stub_study(**{"axes": AXES, **changes}))


def run(url, cluster, spec, listen=lambda event: None):
    """Run a study of stubs on the cluster; return it with its trials of their own."""
    from tuner.service.ray_executor import run_on_ray

    with Store.open(url) as store:
        study = run_on_ray(spec, store, listen, pipeline=STUB)
        return study, [t for t in store.trials(study) if t.state != "repeated"]


def runs_on(trial, node):
    return trial.worker is not None and trial.worker.endswith(f"@{node.node_id[:8]}")


def queue(url, spec, candidates):
    """Queue candidates of a new study, each with labels of its own."""
    with Store.open(url) as store:
        study, _ = store.claim_study(store.create_study(spec.to_plain()).id, "test", 60)
        for candidate, labels in candidates:
            store.new_trial(study, None, candidate, True, {**study_required(spec), "labels": labels})
        store.release_study(study)


def assert_each_once(url, study, trials):
    """Every trial has one result, and Optuna has heard of it."""
    with Store.open(url) as store:
        assert not store.pulse(study)[1]
        for trial in trials:
            kinds = [m.kind for m in store.measurements(trial.id)]
            assert kinds.count("performance") == (trial.state == "complete")
        assert [w.name for w in store.workers() if w.stopped_at is None] == []


@only_sqlite
def test_a_trial_runs_where_its_labels_are(url, cluster):
    """Also one whose node does not exist yet: that is said, and it runs when such a node joins."""
    spec, late, said = spec_of(trials=6, hosts="each"), [], []
    needs = [(baseline(6, 1), {"hw": "openvino"}), (baseline(3, 1), {"rack": "7"}), (POISON, {"hw": "late"})]
    queue(url, spec, needs)

    def listen(event):
        if event.kind == "note" and "hw=late" in event.message:
            said.append(event.message)
            with Store.open(url) as store:
                assert any("hw=late" in note.message for note in read_overview(store).notes)
            late.append(cluster.add_node(num_cpus=2, labels={"hw": "late"}))

    study, trials = run(url, cluster, spec, listen)
    assert (study.state, [t.state for t in trials]) == ("finished", ["complete"] * 6)
    assert len(said) == 1 and "trial 2 waits" in said[0]
    assert runs_on(trials[0], cluster.special) and runs_on(trials[1], cluster.special)
    assert runs_on(trials[2], late[0])
    assert any(runs_on(trial, cluster.head_node) for trial in trials[3:])
    assert all(trial.attempt == 1 for trial in trials)
    if len(usable_cores()) > 1:  # a node with more cores is other hardware, and its front is confirmed there
        assert len({trial.host.fingerprint for trial in trials if trial.confirmed}) == 2
    assert_each_once(url, study, trials)
    cluster.remove_node(late[0])


def test_a_node_killed_in_mid_trial_costs_an_attempt_and_no_result(url, cluster, hold):
    doomed, killed = cluster.add_node(num_cpus=1), []

    def listen(event):
        if event.kind == "trial-started" and not killed:
            with Store.open(url) as store:
                trial = store.trial(store.get_study("stub"), event.trial)
            if runs_on(trial, doomed):
                cluster.remove_node(doomed, allow_graceful=False)
                killed.append((trial, time.monotonic()))
        if event.kind == "note" and "lost on" in event.message:
            killed.append((event.message, time.monotonic()))
            hold.unlink()

    study, trials = run(url, cluster, spec_of(trials=6), listen)
    (lost, then), (message, heard) = killed
    assert (study.state, [t.state for t in trials]) == ("finished", ["complete"] * 6)
    assert [t.attempt for t in trials] == [2 if t.id == lost.id else 1 for t in trials]
    assert f"trial {lost.number}" in message and "queued" in message
    assert heard - then < 20  # Ray tells it: the lease of 30 seconds need not end
    assert not any(runs_on(trial, doomed) for trial in trials)
    assert_each_once(url, study, trials)


@only_sqlite
def test_a_candidate_that_kills_its_process_fails_in_the_end(url, cluster, folder):
    (folder / POISON.hash).touch()
    spec = spec_of(trials=2)
    queue(url, spec, [(POISON, {"hw": "openvino"})])
    study, trials = run(url, cluster, spec)
    (folder / POISON.hash).unlink()
    assert study.state == "finished"
    assert (trials[0].state, trials[0].kind, trials[0].attempt) == ("failed", "lost", 3)
    assert trials[1].state == "complete"
    assert_each_once(url, study, trials)


@only_sqlite
def test_a_node_that_cannot_do_it_gets_no_more_work(url, cluster, folder):
    (folder / "unfit").write_text(cluster.special.node_id)
    notes = []
    study, trials = run(url, cluster, spec_of(trials=4), lambda e: notes.append(e.message))
    (folder / "unfit").unlink()
    assert (study.state, [(t.state, t.attempt) for t in trials]) == ("finished", [("complete", 1)] * 4)
    assert all(runs_on(trial, cluster.head_node) for trial in trials)
    assert any("takes no part" in note for note in notes)
    assert_each_once(url, study, trials)


def test_what_has_begun_is_not_interrupted_in_the_middle(cluster, folder):
    """Half of something that is made once for a process would be left to the next task."""
    import ray

    from tests.service.ray_stub import busy
    from tuner.service.ray_cluster import Cluster

    known = Cluster(ray, STUB, print)
    known.first_look()
    task = known.submit(busy, known.ready(), {"cores": 1}, folder, name="busy")
    while not (folder / "busy").exists():
        time.sleep(0.02)
    known.cancel(task)
    assert ray.get(task).value == "whole"


@only_sqlite
def test_signals_drain_and_abort(url, cluster, hold):
    def twice(event):
        if event.kind == "trial-started":
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(url, cluster, spec_of(trials=4), twice)
    with Store.open(url) as store:
        study = store.get_study("stub")
        assert study.state == "interrupted"
        assert {(t.state, t.attempt) for t in store.trials(study)} == {("queued", 0)}

    hold.unlink()

    sent = []

    def once(event):
        if event.kind == "trial-finished" and not sent:
            sent.append(event)
            os.kill(os.getpid(), signal.SIGINT)

    study, trials = run(url, cluster, spec_of(trials=4), once)
    assert study.state == "interrupted"
    assert {t.state for t in trials} <= {"complete", "queued"}
    study, trials = run(url, cluster, spec_of(trials=4))
    assert (study.state, [(t.state, t.attempt) for t in trials]) == ("finished", [("complete", 1)] * 4)
    assert_each_once(url, study, trials)


def test_a_cluster_that_cannot_run_the_study(cluster, tmp_path):
    options = ["--executor", "ray", "--address", cluster.address, "--set", "requires.labels.hw=none"]
    done = tuner(tmp_path, "run", FIRST_STEPS, *options)
    assert done.returncode == 2
    assert "label hw=none" in done.stderr.splitlines()[-1]
    with Store.open(f"sqlite:///{tmp_path}/tuner.db") as store:
        assert store.list_studies() == []


def test_a_real_study_from_the_command_line(home):
    """On a cluster that it starts itself, and ends."""
    pytest.importorskip("ray")
    options = [
        "--executor",
        "ray",
        "--address",
        "local",
        "--set",
        "name=on-ray",
        "--set",
        "measure.seconds=1.5",
    ]
    with tempfile.TemporaryDirectory(prefix="ray-") as temporary:
        kept = {"RAY_TMPDIR": temporary, "RAY_AUTH_MODE": "disabled"}  # it writes a token to the user's home
        done = tuner(home, "run", FIRST_STEPS, "--trials", "3", *options, **kept)
    assert done.returncode == 0, done.stderr
    assert "confirmed on the test split" in done.stdout
    assert "ray" not in done.stdout.replace("on-ray", "").lower()
    found = front(home, "on-ray")
    assert found and all(point["confirmed"] for point in found)


def test_without_ray(tmp_path):
    (tmp_path / "ray.py").write_text("raise ImportError(\"No module named 'ray'\")")
    done = tuner(
        tmp_path, "run", FIRST_STEPS, "--executor", "ray", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}"
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "tuner[ray]" in done.stderr


def test_no_cluster_at_the_address(tmp_path):
    pytest.importorskip("ray")
    done = tuner(tmp_path, "run", FIRST_STEPS, "--executor", "ray", "--address", "127.0.0.1:1")
    assert done.returncode == 2, done.stderr
    assert "127.0.0.1:1" in done.stderr.splitlines()[-1]


def test_an_address_without_ray(tmp_path):
    done = tuner(tmp_path, "run", FIRST_STEPS, "--address", "somewhere:6379")
    assert done.returncode == 2
    assert "--executor ray" in done.stderr
