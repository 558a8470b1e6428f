"""Errands on a Ray cluster: what has to be done on one node while the coordinator waits for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tuner.candidate import Candidate
from tuner.errors import InputError, JobError, TunerError
from tuner.pipeline.evaluate import Evaluation
from tuner.pipeline.gate import Gate, GivenUp
from tuner.service.pipeline import Confirmation
from tuner.service.ray_cluster import Cluster, gist
from tuner.service.ray_task import Answer, confirm, prepare
from tuner.service.worker import ATTEMPTS
from tuner.store import Study

_POLL = 0.5  # seconds


class Errands:
    """What has to be done on a node while everything else waits for it."""

    def __init__(self, cluster: Cluster, say: Callable[[str], None]) -> None:
        self.cluster, self._say = cluster, say
        self._task: Any = None
        self._aborted = False

    def run(
        self, function: Callable[..., Answer], requires: Mapping[str, Any], *arguments: Any, name: str
    ) -> Any:
        """Return what a function returns on a node that can run it; another's turn where one is lost or not fit.

        Raises:
            InputError: the last of them cannot do it.
            TunerError: it cannot be done.
        """
        self._say(name)
        self._aborted, last = False, TunerError(f"{name}: no node of the cluster is left for it")
        lost = 0
        while lost < ATTEMPTS and self.cluster.able(requires):
            try:
                answer = self._awaited(function, requires, *arguments, name=name)
            except self.cluster.ray.exceptions.RayTaskError:
                raise
            except self.cluster.ray.exceptions.RayError as error:
                self.cluster.mourn(error)
                lost, last = lost + 1, TunerError(f"{name} was lost with its process or node: {gist(error)}")
                continue
            if answer.error is None:
                return answer.value
            if not isinstance(answer.error, InputError):
                raise answer.error
            last = answer.error
            self.cluster.refuse(self.cluster.nodes[answer.node], str(last))
        raise last

    def abort(self) -> None:
        """End what is being done, from any thread."""
        self._aborted = True
        if self._task is not None:
            self.cluster.cancel(self._task, force=True)

    def _awaited(
        self, function: Callable[..., Answer], requires: Mapping[str, Any], *arguments: Any, name: str
    ) -> Answer:
        ray, nodes = self.cluster.ray, self.cluster.able(requires)
        self._task = self.cluster.submit(function, nodes, requires, *arguments, name=name)
        try:
            while not ray.wait([self._task], timeout=_POLL)[0]:
                self.cluster.look()
                if not any(node.ready for node in nodes):
                    self.cluster.cancel(self._task)
            answer: Answer = ray.get(self._task)
            return answer
        except BaseException:
            self.cluster.cancel(self._task, force=True)
            if self._aborted:
                raise JobError("aborted", "given up") from None
            raise
        finally:
            self._task = None


class Remote:
    """The coordinator's pipeline: preparation and confirmation on a node of some hardware."""

    def __init__(self, errands: Errands, requires: Mapping[str, Any], hardware: str) -> None:
        self._errands, self._requires = errands, {**requires, "hardware": hardware}

    def on(self, hardware: str) -> Remote:
        """Return the same on other hardware."""
        return Remote(self._errands, self._requires, hardware)

    def anatomy(self, study: Study) -> dict[str, Any]:
        """See `Pipeline`."""
        found: dict[str, Any] = self._errands.run(
            prepare, self._requires, study, name=f"prepare {study.name}"
        )
        return found

    def evaluate(self, study: Study, candidate: Candidate, gate: Gate | None = None) -> Evaluation | GivenUp:
        """See `Pipeline`: trials are tasks of their own."""
        raise NotImplementedError

    def confirm(self, study: Study, candidates: Sequence[Candidate]) -> list[Confirmation]:
        """See `Pipeline`."""
        found: list[Confirmation] = self._errands.run(
            confirm, self._requires, study, list(candidates), name=f"confirm {study.name}"
        )
        return found

    def take_remains(self) -> tuple[list[Any], str]:
        """See `Pipeline`."""
        return [], ""

    def others_measure(self) -> bool:
        """See `Pipeline`. The nodes measure, not this process's machine."""
        return False

    def abort(self) -> None:
        """See `Pipeline`."""
        self._errands.abort()

    def close(self) -> None:
        """See `Pipeline`."""
