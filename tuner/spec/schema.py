"""Schema: the JSON schemas of the study file and of a front."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tuner.candidate import Candidate
from tuner.metrics import METRICS, Estimate
from tuner.spec.model import StudySpec
from tuner.spec.wording import headline

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_STANDING = "tied: dominated, but not beyond the intervals; null: infeasible or without an objective"
_RIVALS = "trials that may beat it in everything, within the 95 % intervals"


def study_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a study file."""
    schema = StudySpec.model_json_schema()
    del schema["properties"]["base"]  # not part of the file
    return {"$schema": _DRAFT, **schema, "title": "tuner study"}


def front_schema() -> dict[str, Any]:
    """Return the JSON schema of a front: a list of trials, each metric with its 95 % interval, or null."""
    candidate = Candidate.model_json_schema(mode="serialization", ref_template="#/$defs/{model}")
    definitions = {**candidate.pop("$defs"), "Candidate": candidate, "Estimate": Estimate.model_json_schema()}
    item = {
        "type": "object",
        "properties": {
            "trial": {"type": "integer", "minimum": 0, "description": "number within the study"},
            "candidate": {"$ref": "#/$defs/Candidate"},
            "on_front": {"type": "boolean", "description": "not dominated by a feasible trial"},
            "standing": {"enum": ["front", "tied", "dominated", None], "description": _STANDING},
            "rivals": {"type": "array", "items": {"type": "integer"}, "description": _RIVALS},
            "confirmed": {"type": "boolean", "description": "measured again, quality on the test split"},
            "metrics": _metrics(),
        },
        "required": ["trial", "candidate", "on_front", "standing", "rivals", "confirmed", "metrics"],
        "additionalProperties": False,
    }
    return {"$schema": _DRAFT, "title": "tuner front", "type": "array", "items": item, "$defs": definitions}


def _metrics() -> dict[str, Any]:
    measured = {"anyOf": [{"$ref": "#/$defs/Estimate"}, {"type": "null"}]}
    units = {name: {"description": f"in {unit}"} if unit else {} for name, (unit, _) in METRICS.items()}
    properties = {name: {**measured, **described} for name, described in units.items()}
    always = [{"required": list(headline(metric))} for metric in ("accuracy", "perplexity")]
    return {"type": "object", "properties": properties, "anyOf": always, "additionalProperties": False}


def schema_text() -> str:
    """Return the study file's schema as it is kept in `studies/schema.json`."""
    return json.dumps(study_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":  # python -m tuner.spec.schema studies/schema.json
    Path(sys.argv[1]).write_text(schema_text())
