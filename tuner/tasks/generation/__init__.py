"""Text generation: a language model that answers. All of the task's functions; jobs run the `…_job` ones."""

from __future__ import annotations

from tuner.tasks.fingerprint import data_key
from tuner.tasks.generation.answers import asked_rows
from tuner.tasks.generation.encode import encode
from tuner.tasks.generation.jobs import documents, documents_job, encode_job, encode_key
from tuner.tasks.generation.quality import Scores, answer_hits, choices, evaluate, text_loss
from tuner.tasks.generation.rows import Rows
from tuner.tasks.limits import check_max_length

__all__ = [
    "Rows",
    "Scores",
    "answer_hits",
    "asked_rows",
    "check_max_length",
    "choices",
    "data_key",
    "documents",
    "documents_job",
    "encode",
    "encode_job",
    "encode_key",
    "evaluate",
    "text_loss",
]
