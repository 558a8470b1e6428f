"""The route of a classifier: /v1/classify."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tuner.runtime.predict import Classifier, batches
from tuner.serving.access import noted
from tuner.serving.bodies import OneOrMany, checked, read_json
from tuner.serving.generate import known_model
from tuner.serving.pool import Pool
from tuner.serving.refusals import RefusedError
from tuner.serving.running import Deadline, Running, unless_gone
from tuner.serving.settings import Settings


class ClassifyWanted(BaseModel):
    """A request to /v1/classify."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: Annotated[list[str], OneOrMany, Field(min_length=1)]
    model: str | None = None


@dataclass(frozen=True)
class Labeller:
    """A classifier, served."""

    pool: Pool[Classifier]
    settings: Settings

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("/v1/classify", self._classify, methods=["POST"])]

    async def _classify(self, request: Request) -> Response:
        deadline = Deadline(self.settings.timeout)
        wanted = checked(ClassifyWanted, await read_json(request, self.settings))
        known_model(wanted.model, self.settings.name)
        texts = wanted.input
        if len(texts) > self.settings.max_texts:
            most = self.settings.max_texts
            raise RefusedError(
                400, f"input: more than {most} texts are too many for one request", param="input"
            )
        noted(request, texts=len(texts))
        seat = await unless_gone(request, deadline.wait(self.pool.enter()))

        def begin(classifier: Classifier, gone: Callable[[], bool]) -> Iterator[dict[str, Any]]:
            for group in batches(texts, classifier.batch):
                if gone():
                    return
                yield from classifier(group)

        running: Running[Classifier, dict[str, Any]] = Running(self.pool, seat, begin, deadline)
        found = await unless_gone(request, running.whole())
        data = [{"index": index, **answer} for index, answer in enumerate(found)]
        return JSONResponse({"object": "list", "data": data, "model": self.settings.name})
