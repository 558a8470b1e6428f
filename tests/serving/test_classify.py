"""A classifier behind HTTP."""

import pytest

from tests.export.conftest import content  # noqa: F401 — a fixture
from tests.serving.conftest import CHAT, hello, listening
from tuner.export.bundle import write_bundle

PATH = "/v1/classify"


@pytest.fixture
def client(content, tmp_path):  # noqa: F811
    with listening(write_bundle(content, tmp_path / "words"), name="words", max_texts=50) as opened:
        yield opened


def test_texts_get_their_labels(client):
    one = client.post(PATH, json={"input": "goal match"}).json()
    assert one == {"object": "list", "model": "words",
                   "data": [{"index": 0, "label": "sport", "probability": 0.9933}]}  # fmt: skip
    many = client.post(PATH, json={"input": ["bank", "", "goal"], "model": "words"}).json()["data"]
    assert [found["index"] for found in many] == [0, 1, 2]
    assert (many[0]["label"], many[2]["label"]) == ("business", "sport")
    assert client.get("/v1/models").json()["data"][0]["labels"] == ["sport", "business"]


@pytest.mark.parametrize(
    "body, param, words",
    [
        ({}, "input", "required"),
        ({"input": []}, "input", "at least 1"),
        ({"input": [3]}, "input", "string"),
        ({"input": "a", "top": 1}, "top", "no such field"),
        ({"input": ["a"] * 51}, "input", "more than 50 texts"),
    ],
)
def test_what_is_refused_names_the_field(client, body, param, words):
    response = client.post(PATH, json=body)
    error = response.json()["error"]
    assert response.status_code == 400 and error["param"].startswith(param) and words in error["message"]


def test_a_classifier_does_not_chat(client):
    assert client.post(CHAT, json=hello()).status_code == 404
