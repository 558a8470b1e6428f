"""Reading a request's body: JSON of a limited size, checked by a model, each problem in one line."""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError
from starlette.requests import ClientDisconnect, Request

from tuner.serving.refusals import GONE, RefusedError
from tuner.serving.settings import Settings

M = TypeVar("M", bound=BaseModel)
#: Before a list of texts: one text alone stands for a list of one.
OneOrMany = BeforeValidator(lambda given: [given] if isinstance(given, str) else given)


async def read_json(request: Request, settings: Settings) -> dict[str, Any]:
    """Return the JSON object of a request's body.

    Raises:
        RefusedError: it is too long, does not come, is no JSON or no object.
    """
    # Asked for, so that a web page cannot send it from a browser: such requests need a leave that we never give.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(415, "the body must be JSON: send the header Content-Type: application/json")
    try:
        async with asyncio.timeout(settings.timeout):
            body = await _limited(request, settings.max_body)
    except TimeoutError:
        raise RefusedError(408, f"the body did not come within {settings.timeout:g} s") from None
    except ClientDisconnect:
        raise RefusedError(GONE, "the client hung up") from None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        where = f": {error}" if isinstance(error, json.JSONDecodeError) else ""
        raise RefusedError(400, f"the body is not valid JSON{where}", code="invalid_json") from None
    if not isinstance(found, dict):
        raise RefusedError(400, f"the body must be a JSON object, not {type(found).__name__}")
    return found


async def _limited(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise RefusedError(413, f"the body is longer than {most} bytes", code="body_too_large")
    return bytes(body)


def checked(model: type[M], body: dict[str, Any]) -> M:
    """Return the body as a model; what is null counts as not said.

    Raises:
        RefusedError: a field is wrong; the first of them is named.
    """
    try:
        return model.model_validate({name: value for name, value in body.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        param = ".".join(str(part) for part in first["loc"])
        raise RefusedError(400, _said(first, param), param=param or None) from None


def _said(problem: Any, param: str) -> str:
    if problem["type"] == "extra_forbidden":
        return f"{param}: no such field"
    text = str(problem["msg"]).removeprefix("Value error, ")
    return f"{param}: {text[:1].lower()}{text[1:]}" if param else text
