"""The first tables.

Revision ID: 0001
Revises: nothing
"""

import sqlalchemy as sa

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tuner_artifact",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("last_used_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tuner_artifact")),
        sa.UniqueConstraint("key", name=op.f("uq_tuner_artifact_key")),
    )
    op.create_table(
        "tuner_host",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tuner_host")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_tuner_host_fingerprint")),
    )
    op.create_table(
        "tuner_study",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("baseline_ms", sa.Double(), nullable=True),
        sa.Column("meta", sa.JSON(), nullable=False),
        sa.Column("host_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "state IN ('running', 'finished', 'interrupted', 'failed')", name=op.f("ck_tuner_study_state")
        ),
        sa.ForeignKeyConstraint(["host_id"], ["tuner_host.id"], name=op.f("fk_tuner_study_host_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tuner_study")),
        sa.UniqueConstraint("name", name=op.f("uq_tuner_study_name")),
    )
    op.create_table(
        "tuner_trial",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("study_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("optuna_number", sa.Integer(), nullable=True),
        sa.Column("candidate", sa.JSON(), nullable=False),
        sa.Column("hash", sa.String(length=16), nullable=False),
        sa.Column("seed", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("log_tail", sa.Text(), nullable=True),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("confirmed", sa.JSON(), nullable=True),
        sa.Column("accuracy", sa.Double(), nullable=True),
        sa.Column("accuracy_drop", sa.Double(), nullable=True),
        sa.Column("latency_ms", sa.Double(), nullable=True),
        sa.Column("speedup", sa.Double(), nullable=True),
        sa.Column("throughput", sa.Double(), nullable=True),
        sa.Column("memory_mb", sa.Double(), nullable=True),
        sa.Column("size_mb", sa.Double(), nullable=True),
        sa.Column("ratio", sa.JSON(), nullable=True),
        sa.Column("confirmed_ratio", sa.JSON(), nullable=True),
        sa.Column("reference_ms", sa.Double(), nullable=True),
        sa.Column("correct", sa.LargeBinary(), nullable=True),
        sa.Column("confirmed_correct", sa.LargeBinary(), nullable=True),
        sa.Column("artefact_key", sa.String(length=64), nullable=True),
        sa.Column("repeat_of", sa.String(length=36), nullable=True),
        sa.Column("host_id", sa.String(length=36), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'complete', 'failed', 'pruned', 'repeated')",
            name=op.f("ck_tuner_trial_state"),
        ),
        sa.ForeignKeyConstraint(["host_id"], ["tuner_host.id"], name=op.f("fk_tuner_trial_host_id")),
        sa.ForeignKeyConstraint(
            ["repeat_of"], ["tuner_trial.id"], name=op.f("fk_tuner_trial_repeat_of"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["tuner_study.id"], name=op.f("fk_tuner_trial_study_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tuner_trial")),
        sa.UniqueConstraint("study_id", "number", name=op.f("uq_tuner_trial_study_id_number")),
    )
    op.create_index("ix_tuner_trial_study_id_hash", "tuner_trial", ["study_id", "hash"])

    op.create_table(
        "tuner_event",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("study_id", sa.String(length=36), nullable=True),
        sa.Column("trial_id", sa.String(length=36), nullable=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["tuner_study.id"], name=op.f("fk_tuner_event_study_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["tuner_trial.id"], name=op.f("fk_tuner_event_trial_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tuner_event")),
    )
    op.create_index("ix_tuner_event_study_id_at", "tuner_event", ["study_id", "at"])

    op.create_table(
        "tuner_measurement",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("trial_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("samples", sa.LargeBinary(), nullable=True),
        sa.Column("reference_samples", sa.LargeBinary(), nullable=True),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("host_id", sa.String(length=36), nullable=True),
        sa.Column("taken_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('performance', 'quality', 'confirm')", name=op.f("ck_tuner_measurement_kind")
        ),
        sa.ForeignKeyConstraint(["host_id"], ["tuner_host.id"], name=op.f("fk_tuner_measurement_host_id")),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["tuner_trial.id"], name=op.f("fk_tuner_measurement_trial_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tuner_measurement")),
    )
    op.create_index("ix_tuner_measurement_trial_id", "tuner_measurement", ["trial_id"])

    op.create_table(
        "tuner_stage_run",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("trial_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("hit", sa.Boolean(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["tuner_trial.id"], name=op.f("fk_tuner_stage_run_trial_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tuner_stage_run")),
    )
    op.create_index("ix_tuner_stage_run_trial_id", "tuner_stage_run", ["trial_id"])


def downgrade() -> None:
    op.drop_table("tuner_stage_run")
    op.drop_table("tuner_measurement")
    op.drop_table("tuner_event")
    op.drop_table("tuner_trial")
    op.drop_table("tuner_study")
    op.drop_table("tuner_host")
    op.drop_table("tuner_artifact")
