"""The routes of a language model: /v1/chat/completions and /v1/completions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tuner.runtime.answering import Answer, Chat, UnanswerableError
from tuner.runtime.generating import AnsweringSession
from tuner.runtime.template import TemplateRefusedError
from tuner.serving.access import noted
from tuner.serving.asking import ChatWanted, TextWanted, heeded
from tuner.serving.bodies import checked, read_json
from tuner.serving.completions import Form, event
from tuner.serving.pool import Pool
from tuner.serving.refusals import RefusedError
from tuner.serving.running import Deadline, Running, unless_gone
from tuner.serving.settings import Settings

_Answering = Running[AnsweringSession, str]


@dataclass(frozen=True)
class Generator:
    """A language model, served."""

    chat: Chat
    pool: Pool[AnsweringSession]
    settings: Settings

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/completions", self._text, methods=["POST"]),
        ]

    async def _chat(self, request: Request) -> Response:
        wanted = checked(ChatWanted, heeded(await read_json(request, self.settings)))
        if len(wanted.messages) > self.settings.max_messages:
            raise RefusedError(
                400, f"messages: more than {self.settings.max_messages} are too many", param="messages"
            )
        messages = [message.plain() for message in wanted.messages]
        return await self._answered(request, wanted, lambda: self.chat.prompt(messages), "messages")

    async def _text(self, request: Request) -> Response:
        wanted = checked(TextWanted, heeded(await read_json(request, self.settings)))
        return await self._answered(request, wanted, lambda: self.chat.encode(wanted.prompt), "prompt")

    async def _answered(
        self, request: Request, wanted: ChatWanted | TextWanted, read: Callable[[], list[int]], param: str
    ) -> Response:
        deadline = Deadline(self.settings.timeout)
        known_model(wanted.model, self.settings.name)
        asked = wanted.asked(self.chat.sampling)
        prompt = await asyncio.to_thread(self._prompt, read, asked.most, param)
        noted(request, stream=wanted.stream, prompt_tokens=len(prompt))
        seat = await unless_gone(request, deadline.wait(self.pool.enter()))

        def begin(session: AnsweringSession, gone: Callable[[], bool]) -> Answer:
            return self.chat.answer(session, prompt, asked, gone)

        running: _Answering = Running(self.pool, seat, begin, deadline)
        form = Form(self.settings.name, param == "messages", wanted.stream_options.include_usage)
        if wanted.stream:
            return Streamed(request, running, form)
        text = "".join(await unless_gone(request, running.whole()))
        _note_answer(request, running)
        return JSONResponse(form.whole(text, running.answer))

    def _prompt(self, read: Callable[[], list[int]], most: int | None, param: str) -> list[int]:
        try:
            prompt = read()
            self.chat.room(prompt, most)
        except UnanswerableError as error:
            code = "context_length_exceeded" if error.too_long else None
            raise RefusedError(400, str(error), param=param, code=code) from None
        except TemplateRefusedError as error:
            raise RefusedError(400, str(error), param=param) from None
        return prompt


class Streamed(StreamingResponse):
    """An answer as a stream of events. However the stream ends, the answer's session is free with it."""

    def __init__(self, request: Request, running: _Answering, form: Form) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(self._events(form), media_type="text/event-stream", headers=headers)
        self._request, self._running = request, running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._running.give_up()
            _note_answer(self._request, self._running)

    async def _events(self, form: Form) -> AsyncIterator[str]:
        for text in form.first():
            yield text
        try:
            async with aclosing(self._running.items()) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    yield form.piece(piece)
        except RefusedError as error:  # the status is long sent
            noted(self._request, error=error.message)
            yield event(error.body())
            return
        for text in form.last(self._running.answer):
            yield text


def known_model(given: str | None, name: str) -> None:
    """Refuse a request for another model.

    Raises:
        RefusedError: it is not this one.
    """
    if given is not None and given != name:
        raise RefusedError(
            404, f"there is no model {given!r} here, only {name!r}", param="model", code="model_not_found"
        )


def _note_answer(request: Request, running: _Answering) -> None:
    answer = running.answer
    if isinstance(answer, Answer):
        noted(request, completion_tokens=answer.completion_tokens, finish=answer.finish or "cancelled")
