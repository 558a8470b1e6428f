import json
from pathlib import Path

import jsonschema
import pytest

from tuner.candidate import baseline
from tuner.metrics import METRICS, Estimate
from tuner.spec.load import load_spec
from tuner.spec.schema import front_schema, schema_text, study_schema
from tuner.spec.yaml_tree import read_yaml

STUDIES = Path(__file__).parents[2] / "studies"


def test_the_kept_schema_is_current():
    kept = (STUDIES / "schema.json").read_text()
    assert kept == schema_text(), "run: python -m tuner.spec.schema studies/schema.json"


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_study_of_ours_loads_and_meets_its_schema(path):
    assert path.read_text().splitlines()[0] == "# yaml-language-server: $schema=schema.json"
    spec = load_spec(path)
    assert spec.name == path.stem
    jsonschema.Draft202012Validator(study_schema()).validate(spec.model_dump(mode="json"))


def test_the_schema_refuses_what_the_loader_refuses():
    study = read_yaml(STUDIES / "first-steps.yaml").data
    check = jsonschema.Draft202012Validator(study_schema())
    assert not list(check.iter_errors(study))
    for wrong in ({"bse": 1}, {"base": "/"}, {"objectives": ["speed"]}, {"budget": {"trials": 0}}):
        assert list(check.iter_errors({**study, **wrong})), wrong


def test_every_key_is_described():
    schema = study_schema()
    sections = [schema, *schema["$defs"].values()]
    bare = [k for s in sections for k, v in s.get("properties", {}).items() if "description" not in v]
    assert bare == []


def point(**changes):
    metrics = dict.fromkeys(METRICS) | {"latency_ms": Estimate.exact(2.0).model_dump()}
    whole = {"trial": 3, "candidate": baseline(6, 2).canonical(), "on_front": True, "confirmed": False}
    whole |= {"standing": "front", "rivals": [1]}
    return {**whole, "metrics": metrics, **changes}


def test_a_front_meets_its_schema():
    jsonschema.Draft202012Validator.check_schema(front_schema())
    jsonschema.validate(json.loads(json.dumps([point()])), front_schema())
    jsonschema.validate([], front_schema())


@pytest.mark.parametrize(
    "changes",
    [
        {"trial": "3"},
        {"more": 1},
        {"metrics": {}},
        {"candidate": {"backend": {"engine": "x"}}},
        {"confirmed": None},
        {"standing": "off"},
        {"rivals": None},
    ],
)
def test_what_is_no_front_is_refused(changes):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([point(**changes)], front_schema())
