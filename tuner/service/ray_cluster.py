"""A Ray cluster as the study sees it: which nodes there are, what each has, and how to have something done there.

Ray is an optional library: nothing here imports it before somebody asks for it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from tuner.errors import InputError, TunerError
from tuner.hardware import Host
from tuner.service.ray_task import Answer, Place, Survey, at_place, survey
from tuner.service.requires import unmet
from tuner.store import Worker as WorkerRecord

_NODE = "ray.io/node-id"  # the label by which Ray itself tells nodes apart
_SURVEY = 60.0  # seconds for which the first look waits for nodes that do not answer
_LOOK = 1.0  # seconds between two looks at who is there
_REACHED = 5.0  # seconds
_SHARE = 0.001  # of a custom resource that stands for a label: it says where, not how much


@dataclass(eq=False)
class Node:
    """One node. `labels` are Ray's; a custom resource named `label=value` stands for a label as well.

    `refused` says why it takes no part. `worker` is what it is in the store; `duties` end when it leaves.
    """

    id: str
    host_name: str
    place: Place
    memory_mb: int
    labels: Mapping[str, str]
    resources: frozenset[str]
    found: Survey | None = None
    worker: WorkerRecord | None = None
    refused: str | None = None
    alive: bool = True
    duties: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @classmethod
    def of(cls, plain: Mapping[str, Any], pipeline: str) -> Node:
        """Return a node as Ray describes it."""
        has, labels = plain["Resources"], plain.get("Labels") or {}
        name, cores = plain["NodeManagerHostname"], int(has.get("CPU", 0))
        memory = int(has.get("memory", 0) / 10**6)
        place = Place(f"{name} ({plain['NodeID'][:8]})", cores, pipeline)
        return cls(plain["NodeID"], name, place, memory, labels, frozenset(has))

    @property
    def name(self) -> str:
        """Return how people are told of it."""
        return self.place.node

    @property
    def capabilities(self) -> dict[str, Any]:
        """Return what a worker on it has, within what Ray gives away of it."""
        assert self.found is not None
        able = self.found.capabilities
        as_labels = dict(r.split("=", 1) for r in self.resources if "=" in r)
        labels = {label: value for label, value in self.labels.items() if label != _NODE}
        return {
            **able,
            "memory_mb": min(self.memory_mb, able["memory_mb"]),
            "labels": {**as_labels, **labels},
        }

    @property
    def host(self) -> Host:
        """Return its hardware."""
        assert self.found is not None
        return self.found.host

    @property
    def ready(self) -> bool:
        """Say whether it may be given work."""
        return self.alive and self.refused is None and self.found is not None


class Cluster:
    """The cluster that this process is connected to. `say` is told what people should know."""

    def __init__(self, ray: ModuleType, pipeline: str, say: Callable[[str], None]) -> None:
        self.ray, self._pipeline, self._say = ray, pipeline, say
        self.nodes: dict[str, Node] = {}
        self._asked: dict[str, Any] = {}  # surveys under way, by node
        self._looked = float("-inf")
        self._task = ray.remote(at_place)

    # -- who is there

    def first_look(self) -> None:
        """Look at all nodes that are there, and wait for what they say of themselves."""
        self.look()
        end = time.monotonic() + _SURVEY
        while self._asked and time.monotonic() < end:
            self.ray.wait(list(self._asked.values()), timeout=0.5)
            self._hear()

    def look(self) -> None:
        """See who came and who went; at most once a second."""
        if time.monotonic() - self._looked < _LOOK:
            return
        self._looked = time.monotonic()
        for plain in self.ray.nodes():
            known = self.nodes.get(plain["NodeID"])
            if known is None and plain["Alive"]:
                self._meet(Node.of(plain, self._pipeline))
            elif known is not None and not plain["Alive"]:
                self.bury(known)
        self._hear()

    def ready(self) -> list[Node]:
        """Return the nodes that may be given work."""
        return [node for node in self.nodes.values() if node.ready]

    def able(self, requires: Mapping[str, Any]) -> list[Node]:
        """Return the nodes that have what something requires."""
        return [node for node in self.ready() if unmet(requires, node.capabilities) is None]

    def lacking(self, why: Callable[[Node], str | None]) -> str:
        """Return in one line what each node lacks; `why` says it of one that would take part."""
        living = [node for node in self.nodes.values() if node.alive]
        reasons = [f"{n.name}: {n.refused or (why(n) if n.found else 'no answer yet')}" for n in living]
        return "; ".join(reasons) or "it has no node that is alive"

    def worker(self, name: str | None) -> Node | None:
        """Return the node that is the worker of that name."""
        return next((n for n in self.nodes.values() if n.worker and n.worker.name == name), None)

    def bury(self, node: Node) -> None:
        """Note that a node is dead: Ray itself still lists it for some seconds after its tasks have failed."""
        if node.alive:
            node.alive = False
            self._say(f"node {node.name} is gone")
            _leave(node)

    def mourn(self, error: Exception) -> None:
        """Bury the node that an error of Ray's speaks of, if it does."""
        if isinstance(error, self.ray.exceptions.NodeDiedError):
            for node in [node for node in self.nodes.values() if node.id in str(error)]:
                self.bury(node)

    def refuse(self, node: Node, why: str) -> None:
        """Give a node no more work."""
        if node.refused is None:
            node.refused = why
            self._say(f"node {node.name} takes no part: {why}")
            _leave(node)

    def close(self) -> None:
        """End what the nodes' duties are."""
        for node in self.nodes.values():
            _leave(node)

    def _meet(self, node: Node) -> None:
        self.nodes[node.id] = node
        if node.place.cores < 1:
            node.refused = "it gives away no CPU"
        else:
            self._asked[node.id] = self.submit(survey, [node], {"cores": 0}, name="survey")

    def _hear(self) -> None:
        for key, asked in list(self._asked.items()):
            if self.ray.wait([asked], timeout=0)[0]:
                self._take_in(self.nodes[key], self._asked.pop(key))

    def _take_in(self, node: Node, asked: Any) -> None:
        try:
            found: Survey = self.ray.get(asked).value
        except self.ray.exceptions.RayError as error:
            self.refuse(node, f"the tuner does not start there: {gist(error)}")
            return
        mine = importlib.metadata.version("tuner")
        if found.version != mine:
            self.refuse(node, f"its tuner is {found.version}, this one is {mine}")
        node.found = found

    # -- having something done

    def submit(
        self,
        function: Callable[..., Answer],
        nodes: Sequence[Node],
        requires: Mapping[str, Any],
        *arguments: Any,
        name: str,
    ) -> Any:
        """Have Ray run something on one of the nodes, whichever has room first, with what it requires.

        Ray never tries again: attempts are counted in our own table.
        """
        task = self._task.options(
            name=name, max_retries=0, scheduling_strategy="SPREAD", **_demand(requires, nodes)
        )
        return task.remote(function, {node.id: node.place for node in nodes}, *arguments)

    def cancel(self, reference: Any, force: bool = False) -> None:
        """Take a task back if it has not begun; `force` kills the process that runs it."""
        with contextlib.suppress(self.ray.exceptions.RayError):
            self.ray.cancel(reference, force=force)


def _demand(requires: Mapping[str, Any], nodes: Sequence[Node]) -> dict[str, Any]:
    """Return requirements in Ray's words.

    The nodes' own ids say all that Ray does not know of (engines, hardware); the labels are said as well, so that
    Ray's own tools show what a task waits for.
    """
    selector, resources = {_NODE: f"in({','.join(node.id for node in nodes)})"}, dict[str, float]()
    for label, value in (requires.get("labels") or {}).items():
        if all(node.labels.get(label) == value for node in nodes):
            selector[label] = value
        elif all(f"{label}={value}" in node.resources for node in nodes):
            resources[f"{label}={value}"] = _SHARE
    found = {"num_cpus": requires["cores"], "label_selector": selector, "resources": resources}
    return found | ({"memory": requires["memory_mb"] * 10**6} if requires.get("memory_mb") else {})


def _leave(node: Node) -> None:
    with contextlib.suppress(TunerError):
        node.duties.close()


def gist(error: Exception) -> str:
    """Return an error of Ray's in a few words: of another process's error that one, else the first sentence."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):
        return f"{type(cause).__name__}: {cause}"[:300]
    first = (str(error).strip().splitlines() or [""])[0].split(". ")[0].rstrip(".")
    return first[:300] or type(error).__name__


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[ModuleType]:
    """Connect to the cluster at an address, else to the one of this machine (RAY_ADDRESS), else to a new local one.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError(
            f"--executor ray: Ray is not installed ({error}); pip install 'tuner[ray]', or leave the option out"
        ) from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    mine = not ray.is_initialized()
    if mine:
        _connect(ray, address)
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()


def _connect(ray: ModuleType, address: str | None) -> None:
    where = address or os.environ.get("RAY_ADDRESS") or _noted()
    if where.startswith("ray://"):
        raise InputError(
            f"--address: {where} is for Ray's client; start the tuner on a machine of the cluster, with the address "
            "of its GCS (host:6379)"
        )
    try:
        _reach(where)
        ray.init(address=where, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError, AssertionError, ray.exceptions.RayError) as error:
        ray.shutdown()
        hint = (
            "" if "RAY_AUTH_MODE" in os.environ else "; where one asks for a token, set RAY_AUTH_MODE=token"
        )
        raise InputError(f"--address: no Ray cluster at {where}: {gist(error)}{hint}") from error


def _noted() -> str:
    """Return `auto` where this machine's cluster is there, as Ray has noted it, else `local`: a new one."""
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    with contextlib.suppress(OSError):
        _reach(Path(folder, "ray", "ray_current_cluster").read_text().strip())
        return "auto"
    return "local"


def _reach(address: str) -> None:
    """See that somebody listens at `host:port`; Ray itself would try for many minutes.

    Raises:
        OSError: nobody does.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_REACHED).close()
