"""Leases on trials and studies, workers, a clock for each host, discarded and retried trials.

Revision ID: 0002
Revises: 0001
"""

import json

import sqlalchemy as sa

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STUDY = ("running", "finished", "interrupted", "failed")
_STUDY_NOW = (
    "queued",
    "running",
    "paused",
    "stopping",
    "confirming",
    "finished",
    "interrupted",
    "cancelled",
    "failed",
)
_TRIAL = ("queued", "running", "complete", "failed", "pruned", "repeated")
_NOTHING = "44136fa355b3678a"  # the key of a trial that requires nothing

_study = sa.table(
    "tuner_study",
    *map(sa.column, ("id", "host_id", "state", "baseline_ms")),
    sa.column("clocks", sa.JSON),
)
_host = sa.table("tuner_host", sa.column("id"), sa.column("fingerprint"))
_trial = sa.table("tuner_trial", *map(sa.column, ("id", "state", "kind")), sa.column("told", sa.Boolean))


def _one_of(values: tuple[str, ...]) -> str:
    return f"state IN ({', '.join(repr(value) for value in values)})"


def upgrade() -> None:
    op.create_table(
        "tuner_worker",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("incarnation", sa.String(length=36), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("capabilities", sa.JSON(), nullable=False),
        sa.Column("host_id", sa.String(length=36), nullable=True),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("stopped_at", sa.DateTime(), nullable=True),
        sa.Column("beat_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["tuner_host.id"], name=op.f("fk_tuner_worker_host_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tuner_worker")),
        sa.UniqueConstraint("name", name=op.f("uq_tuner_worker_name")),
    )
    _upgrade_study()
    _upgrade_trial()
    with op.batch_alter_table("tuner_artifact") as batch:
        batch.drop_constraint(op.f("uq_tuner_artifact_key"), type_="unique")
        batch.add_column(sa.Column("host_id", sa.String(length=36), nullable=True))
        batch.add_column(sa.Column("sha256", sa.String(length=64), nullable=False, server_default=""))
        batch.create_foreign_key(op.f("fk_tuner_artifact_host_id"), "tuner_host", ["host_id"], ["id"])
        batch.create_unique_constraint(op.f("uq_tuner_artifact_key_host_id"), ["key", "host_id"])
    _no_default("tuner_artifact", "sha256")


def _upgrade_study() -> None:
    with op.batch_alter_table("tuner_study") as batch:
        batch.drop_constraint(op.f("ck_tuner_study_state"), type_="check")
        batch.add_column(sa.Column("clocks", sa.JSON(), nullable=False, server_default="{}"))
        batch.add_column(sa.Column("summary", sa.JSON(), nullable=False, server_default="{}"))
        batch.add_column(sa.Column("epoch", sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("worker", sa.String(length=100), nullable=True))
        batch.add_column(sa.Column("token", sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("lease_until", sa.Double(), nullable=True))
        batch.create_check_constraint(op.f("ck_tuner_study_state"), _one_of(_STUDY_NOW))
    bind = op.get_bind()
    fingerprints = dict(bind.execute(sa.select(_host.c.id, _host.c.fingerprint)).tuples().all())
    rows = bind.execute(sa.select(_study.c.id, _study.c.host_id, _study.c.baseline_ms)).all()
    for id_, host_id, baseline_ms in rows:
        if baseline_ms is not None:
            clocks = {fingerprints.get(host_id, ""): baseline_ms}
            bind.execute(_study.update().where(_study.c.id == id_).values(clocks=clocks))
    with op.batch_alter_table("tuner_study") as batch:
        batch.drop_column("baseline_ms")
    _no_default("tuner_study", "clocks", "summary", "epoch", "token")
    op.create_index("ix_tuner_study_state", "tuner_study", ["state"])


def _upgrade_trial() -> None:
    with op.batch_alter_table("tuner_trial") as batch:
        batch.drop_constraint(op.f("ck_tuner_trial_state"), type_="check")
        batch.add_column(sa.Column("requires", sa.JSON(), nullable=False, server_default="{}"))
        batch.add_column(
            sa.Column("requires_key", sa.String(length=16), nullable=False, server_default=_NOTHING)
        )
        batch.add_column(sa.Column("worker", sa.String(length=100), nullable=True))
        batch.add_column(sa.Column("token", sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("lease_until", sa.Double(), nullable=True))
        batch.add_column(sa.Column("told", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch.add_column(sa.Column("retry_of", sa.String(length=36), nullable=True))
        batch.add_column(sa.Column("discarded_at", sa.DateTime(), nullable=True))
        batch.add_column(sa.Column("discard_reason", sa.Text(), nullable=True))
        batch.create_foreign_key(
            op.f("fk_tuner_trial_retry_of"), "tuner_trial", ["retry_of"], ["id"], ondelete="SET NULL"
        )
        batch.create_check_constraint(op.f("ck_tuner_trial_state"), _one_of((*_TRIAL, "cancelled")))
    ended = _trial.c.state.not_in(("queued", "running"))
    op.execute(_trial.update().where(ended).values(told=True))
    # A trial that a process of the former kind left running has no lease that could expire: it is queued again.
    op.execute(_trial.update().where(_trial.c.state == "running").values(state="queued"))
    _no_default("tuner_trial", "requires", "requires_key", "token", "told")
    op.create_index("ix_tuner_trial_study_id_state_told", "tuner_trial", ["study_id", "state", "told"])
    op.create_index("ix_tuner_trial_state_requires_key", "tuner_trial", ["state", "requires_key"])


def _no_default(table: str, *columns: str) -> None:
    """Take away the defaults that only the rows of this migration needed."""
    with op.batch_alter_table(table) as batch:
        for column in columns:
            batch.alter_column(column, server_default=None)


def downgrade() -> None:
    # One row a key again, whichever host's it is: the caches themselves lose nothing.
    op.execute("DELETE FROM tuner_artifact WHERE id NOT IN (SELECT min(id) FROM tuner_artifact GROUP BY key)")
    with op.batch_alter_table("tuner_artifact") as batch:
        batch.drop_constraint(op.f("uq_tuner_artifact_key_host_id"), type_="unique")
        batch.drop_constraint(op.f("fk_tuner_artifact_host_id"), type_="foreignkey")
        batch.drop_column("host_id")
        batch.drop_column("sha256")
        batch.create_unique_constraint(op.f("uq_tuner_artifact_key"), ["key"])
    _downgrade_trial()
    _downgrade_study()
    op.drop_table("tuner_worker")


def _downgrade_trial() -> None:
    op.drop_index("ix_tuner_trial_study_id_state_told", "tuner_trial")
    op.drop_index("ix_tuner_trial_state_requires_key", "tuner_trial")
    op.execute(_trial.update().where(_trial.c.state == "cancelled").values(state="failed"))
    with op.batch_alter_table("tuner_trial") as batch:
        batch.drop_constraint(op.f("ck_tuner_trial_state"), type_="check")
        batch.drop_constraint(op.f("fk_tuner_trial_retry_of"), type_="foreignkey")
        for column in (
            *("requires", "requires_key", "worker", "token", "lease_until", "told", "retry_of"),
            *("discarded_at", "discard_reason"),
        ):
            batch.drop_column(column)
        batch.create_check_constraint(op.f("ck_tuner_trial_state"), _one_of(_TRIAL))


def _downgrade_study() -> None:
    op.drop_index("ix_tuner_study_state", "tuner_study")
    running = _study.c.state.in_(("queued", "paused", "stopping", "confirming", "cancelled"))
    op.execute(_study.update().where(running).values(state="interrupted"))
    with op.batch_alter_table("tuner_study") as batch:
        batch.add_column(sa.Column("baseline_ms", sa.Double(), nullable=True))
    bind = op.get_bind()
    for id_, clocks in bind.execute(sa.select(_study.c.id, _study.c.clocks)).all():
        known = json.loads(clocks) if isinstance(clocks, str) else clocks
        if known:
            first = next(iter(known.values()))
            bind.execute(_study.update().where(_study.c.id == id_).values(baseline_ms=first))
    with op.batch_alter_table("tuner_study") as batch:
        batch.drop_constraint(op.f("ck_tuner_study_state"), type_="check")
        for column in ("clocks", "summary", "epoch", "worker", "token", "lease_until"):
            batch.drop_column(column)
        batch.create_check_constraint(op.f("ck_tuner_study_state"), _one_of(_STUDY))
