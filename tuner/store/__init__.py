"""The store: SQLAlchemy models, migrations and the one door to the database, `Store`."""

from tuner.stage import StageRun
from tuner.store.home import database_url, tuner_home
from tuner.store.records import (
    Artefact,
    Event,
    HostRecord,
    Measurement,
    Study,
    Trial,
    Worker,
)
from tuner.store.store import Store

__all__ = [
    "Artefact",
    "Event",
    "HostRecord",
    "Measurement",
    "StageRun",
    "Store",
    "Study",
    "Trial",
    "Worker",
    "database_url",
    "tuner_home",
]
