"""What a server answers, and what it refuses, in OpenAI's dialect."""

import pytest

from tests.serving.conftest import CHAT, events, hello, listening
from tests.tiny_chat import CONTEXT, bundle
from tuner.runtime.answering import Asked, Chat
from tuner.runtime.sampling import Sampling


@pytest.fixture(scope="module")
def client(quick):
    with listening(quick, max_body=20_000, max_messages=20) as opened:
        yield opened


@pytest.fixture(scope="module")
def said(quick):
    """Return what the bundle itself answers."""
    chat = Chat.read(quick)
    session = chat.load()

    def answer(most, text="hello", sampling=None, stop=()):
        prompt = chat.prompt([{"role": "user", "content": text}])
        return "".join(chat.answer(session, prompt, Asked(most, sampling, stop)))

    return answer


def test_an_answer(client, said):
    found = client.post(CHAT, json=hello()).json()
    choice = found["choices"][0]
    assert (
        found["object"] == "chat.completion"
        and found["model"] == "tiny"
        and found["id"].startswith("chatcmpl-")
    )
    assert choice["message"] == {"role": "assistant", "content": said(8), "refusal": None}
    assert choice["finish_reason"] == "length" and choice["index"] == 0
    usage = found["usage"]
    assert usage["completion_tokens"] == 8 and usage["prompt_tokens"] > 10
    assert usage["total_tokens"] == usage["prompt_tokens"] + 8


def test_a_stream_is_the_same_in_pieces(client, said):
    with client.stream("POST", CHAT, json=hello(stream=True, max_tokens=40)) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        found = events(response.iter_lines())
    assert found[-1] == "[DONE]" and all(chunk["object"] == "chat.completion.chunk" for chunk in found[:-1])
    choices = [chunk["choices"][0] for chunk in found[:-1]]
    assert choices[0]["delta"] == {"role": "assistant", "content": ""} and choices[-1]["delta"] == {}
    assert "".join(c["delta"].get("content", "") for c in choices) == said(40) and len(choices) > 10
    assert [c["finish_reason"] for c in choices] == [None] * (len(choices) - 1) + ["length"]
    assert len({chunk["id"] for chunk in found[:-1]}) == 1 and "usage" not in found[0]


def test_a_stream_counts_where_it_is_asked_to(client):
    body = hello(stream=True, stream_options={"include_usage": True})
    found = events(client.post(CHAT, json=body).iter_lines())
    assert found[-2]["choices"] == [] and found[-2]["usage"]["completion_tokens"] == 8
    assert all(chunk["usage"] is None for chunk in found[:-2])


def test_content_in_parts_and_the_newer_names(client, said):
    parts = [{"type": "text", "text": "hello"}]
    body = {"messages": [{"role": "user", "content": parts}], "max_completion_tokens": 3, "max_tokens": None}
    assert client.post(CHAT, json=body).json()["choices"][0]["message"]["content"] == said(3)


def test_a_developer_is_the_system(client):
    def answered(role):
        body = hello()
        body["messages"].insert(0, {"role": role, "content": "be brief", "name": "x"})
        return client.post(CHAT, json=body).json()["choices"][0]["message"]["content"]

    assert answered("developer") == answered("system") != client.post(CHAT, json=hello()).json()["choices"]


def test_an_answer_ends_at_a_stop_string(client, said):
    whole = said(30)
    middle = whole[8:11]
    for stop in (middle, [middle, "zzz"]):
        found = client.post(CHAT, json=hello(max_tokens=30, stop=stop)).json()["choices"][0]
        assert (
            found["message"]["content"] == whole[: whole.index(middle)] and found["finish_reason"] == "stop"
        )


def test_sampling_is_heeded(client, said):
    body = hello(temperature=1.2, top_p=0.9, seed=4, max_tokens=20)
    first, again, other = (
        client.post(CHAT, json=b).json()["choices"][0]["message"]["content"]
        for b in (body, body, {**body, "seed": 5})
    )
    assert first == again == said(20, sampling=Sampling(temperature=1.2, top_p=0.9, seed=4)) != other


def test_a_models_own_settings_hold_where_a_request_says_nothing(folder):
    own = {"do_sample": True, "temperature": 1.3, "seed": 4}
    with listening(bundle(folder / "own", generation=own)) as warm:
        drawn, greedy = (
            warm.post(CHAT, json=hello(**more)).json()["choices"][0]["message"]["content"]
            for more in ({}, {"temperature": 0})
        )
        assert drawn != greedy


def test_a_text_is_gone_on_with(client, quick):
    chat = Chat.read(quick)
    expected = "".join(chat.answer(chat.load(), chat.encode("the bank"), Asked(5)))
    body = {"model": "tiny", "prompt": "the bank", "max_tokens": 5}
    found = client.post("/v1/completions", json=body).json()
    assert found["object"] == "text_completion" and found["choices"][0]["text"] == expected
    chunks = events(client.post("/v1/completions", json={**body, "stream": True}).iter_lines())
    assert (
        "".join(chunk["choices"][0]["text"] for chunk in chunks[:-1]) == expected and chunks[-1] == "[DONE]"
    )


def test_a_model_without_a_template_answers_no_messages(folder):
    with listening(bundle(folder / "bare", template=None)) as bare:
        found = bare.post(CHAT, json=hello())
        assert found.status_code == 400 and "has no chat template" in found.json()["error"]["message"]
        assert bare.post("/v1/completions", json={"prompt": "a", "max_tokens": 2}).status_code == 200
        assert bare.get("/v1/models").json()["data"][0]["chat"] is False


def test_the_models(client):
    found = client.get("/v1/models").json()["data"]
    assert [m["id"] for m in found] == ["tiny"] and found[0]["context"] == CONTEXT
    assert client.get("/v1/models/tiny").json() == found[0]
    assert client.get("/healthz").json() == {
        "status": "ok",
        "sessions": 1,
        "slots": 1,
        "busy": 0,
        "waiting": 0,
    }


@pytest.mark.parametrize(
    "body, param, words",
    [
        (hello(n=2), "n", "not supported"),
        (hello(tools=[{"type": "function"}]), "tools", "not supported"),
        (hello(response_format={"type": "json_object"}), "response_format", "not supported"),
        (hello(logprobs=True), "logprobs", "not supported"),
        (hello(presence_penalty=0.5), "presence_penalty", "not supported"),
        (hello(temperature=3), "temperature", "less than or equal to 2"),
        (hello(temperature="warm"), "temperature", "number"),
        (hello(max_tokens=0), "max_tokens", "greater than or equal to 1"),
        (hello(stream="yes"), "stream", "boolean"),
        (hello(stop=["a"] * 5), "stop", "at most 4"),
        (hello(temprature=1), "temprature", "no such field"),
        (hello(max_tokens=CONTEXT), "messages", f"do not fit into the model's {CONTEXT}"),
        (hello("long " * 2500), "messages", "do not fit"),
        ({"model": "tiny"}, "messages", "required"),
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role", "system"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content", "image_url"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content", "string"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages", "the user begins"),
        ({"messages": [{"role": "user", "content": "x"}] * 21}, "messages", "more than 20"),
    ],
)  # fmt: skip
def test_what_is_refused_names_the_field(client, body, param, words):
    response = client.post(CHAT, json=body)
    error = response.json()["error"]
    assert response.status_code == 400 and error["type"] == "invalid_request_error"
    assert (error["param"] or "").startswith(param) and words in error["message"]
    assert "\n" not in error["message"]


def test_what_does_not_fit_has_openais_code(client):
    assert (
        client.post(CHAT, json=hello(max_tokens=CONTEXT)).json()["error"]["code"] == "context_length_exceeded"
    )


def test_what_asks_for_nothing_is_no_mistake(client):
    more = {
        "n": 1, "tools": None, "tool_choice": "none", "response_format": {"type": "text"}, "logprobs": False,
        "presence_penalty": 0.0, "frequency_penalty": 0, "user": "me", "metadata": {"a": "b"}, "logit_bias": {},
    }  # fmt: skip
    assert client.post(CHAT, json=hello(**more)).status_code == 200


@pytest.mark.parametrize(
    "content, status, words",
    [
        (b'{"messages": [', 400, "not valid JSON"),
        (b"[1]", 400, "must be a JSON object"),
        (b"\xff\xfe\xfd", 400, "not valid JSON"),
        (b"[" * 19_000, 400, "not valid JSON"),
        (b"", 400, "not valid JSON"),
        (b" " * 30_000, 413, "longer than 20000 bytes"),
    ],
)
def test_a_body_that_cannot_be_read(client, content, status, words):
    response = client.post(CHAT, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status and words in response.json()["error"]["message"]


def test_a_body_that_is_not_said_to_be_json(client):
    response = client.post(CHAT, content=b"{}", headers={"Content-Type": "text/plain"})
    assert response.status_code == 415 and "Content-Type" in response.json()["error"]["message"]


def test_another_model_another_path_another_method(client):
    found = client.post(CHAT, json=hello(model="gpt-5"))
    assert found.status_code == 404 and found.json()["error"]["code"] == "model_not_found"
    for response, status in ((client.get("/v1/x"), 404), (client.get(CHAT), 405)):
        assert response.status_code == status and response.json()["error"]["type"] == "invalid_request_error"


def test_a_key(quick):
    with listening(quick, api_key="sesame") as guarded:
        assert guarded.get("/healthz").status_code == 200
        for headers in ({}, {"Authorization": "Bearer sesam"}, {"Authorization": "sesame"}):
            response = guarded.post(CHAT, json=hello(), headers=headers)
            assert response.status_code == 401 and response.json()["error"]["code"] == "invalid_api_key"
        assert guarded.post(CHAT, json=hello(), headers={"Authorization": "Bearer sesame"}).status_code == 200
