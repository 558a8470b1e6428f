"""Run a study on a Ray cluster: this process coordinates it, and its trials are Ray's tasks.

The coordinator is the same as every worker's, under the same leases. Each node of the cluster is a worker in the store,
named after it, that runs as many trials at once as it has room for; a queued trial becomes one task with what it
requires, and the task claims that trial on its node, evaluates it and writes the result under its own lease. So the
table alone says what is running and what was tried how often: Ray never tries again. What it is good for is to find
room for a trial, and to tell at once when its process or its node died: the lease then ends at once as well, and the
trial has one attempt less.

Preparation and confirmation are tasks too, on a node of the hardware that the study is bound to: wherever this process
runs, it needs no engine and no cores. Whatever can be said of the cluster is said: what a node lacks, and which trial
waits for a node that is not there.
"""

from __future__ import annotations

import contextlib
from collections import Counter

from tuner.errors import InputError
from tuner.hardware import this_host
from tuner.search.precision import legs
from tuner.service.events import Listener
from tuner.service.opening import open_study
from tuner.service.progress import Progress
from tuner.service.ray_cluster import Cluster, Node, connected
from tuner.service.ray_errands import Errands, Remote
from tuner.service.ray_worker import RayWorker, room_on
from tuner.service.requires import offers_in, refuse_unmeasurable, study_required, study_unmet
from tuner.service.run import Run, free_name
from tuner.spec.model import StudySpec
from tuner.store import Store, Study

WORKS = "tuner.service.pipeline:Works"
#: This process runs no trial itself: it has nothing that one could require.
_NOTHING = {"hardware": "", "cores": 0, "memory_mb": 0, "labels": {}, "offers": [], "slots": 0}


def run_on_ray(
    spec: StudySpec,
    store: Store,
    listen: Listener | None = None,
    address: str | None = None,
    pipeline: str = WORKS,
) -> Study:
    """Run a study on a Ray cluster to its confirmed front; see `run_study`, of which this is the larger size.

    The nodes must have the tuner installed and reach the database, whose URL they are told with its password;
    `pipeline` names what evaluates candidates there.

    Raises:
        InputError: Ray is not installed, there is no cluster, or none of its nodes can run the study.
        TunerError: the database cannot be written, or the last node had to give up.
    """
    progress = Progress(store, listen)
    with connected(address) as ray:
        cluster = Cluster(ray, pipeline, progress.note)
        cluster.first_look()
        leader = _leader(cluster, spec, store.find_study(spec.name))
        study = store.reopen(open_study(store, spec))
        worker = RayWorker(
            store,
            free_name(store, f"ray-{study.name}"[:85]),
            this_host(),
            _NOTHING,
            Remote(Errands(cluster, progress.stage), study_required(spec), leader.host.fingerprint),
            progress,
            only=study,
            cluster=cluster,
            leader=leader,
            requires=study_required(spec),
        )
        return Run(store, worker, progress).to_its_end()


def _leader(cluster: Cluster, spec: StudySpec, stored: Study | None) -> Node:
    """Return the node that decides what the study's space is: of the hardware of which most is there, where one must.

    Raises:
        InputError: no node can run the study; the message says what each lacks.
    """
    bound = stored.host if stored is not None and spec.hosts == "one" else None

    def lacks(node: Node) -> str | None:
        if bound is not None and node.host.fingerprint != bound.fingerprint:
            return f"another hardware than {bound.name}, on which the study was measured"
        with contextlib.suppress(InputError):
            refuse_unmeasurable(spec, node.host)
            return study_unmet(spec, node.capabilities)
        return "no power meter that can be read"

    fit = [node for node in cluster.ready() if lacks(node) is None]
    if not fit:
        raise InputError(f"no node of the cluster can run study {spec.name!r}: {cluster.lacking(lacks)}")
    room = Counter[str]()
    for node in fit:
        room[node.host.fingerprint] += room_on(node, study_required(spec))
    leader = max(fit, key=lambda node: room[node.host.fingerprint])
    legs(spec.axes, offers_in(leader.capabilities))  # what the node cannot run at all is said at once
    return leader
