CREATE TABLE tuner_host (
    data JSON NOT NULL
    fingerprint VARCHAR(64) NOT NULL
    id VARCHAR(36) NOT NULL
    name VARCHAR(255) NOT NULL
    seen_at TIMESTAMP WITHOUT TIME ZONE NOT NULL
    CONSTRAINT pk_tuner_host PRIMARY KEY (id)
    CONSTRAINT uq_tuner_host_fingerprint UNIQUE (fingerprint)
)
CREATE TABLE tuner_artifact (
    created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL
    host_id VARCHAR(36)
    id VARCHAR(36) NOT NULL
    key VARCHAR(64) NOT NULL
    kind VARCHAR(32) NOT NULL
    last_used_at TIMESTAMP WITHOUT TIME ZONE NOT NULL
    path TEXT NOT NULL
    sha256 VARCHAR(64) NOT NULL
    size_bytes BIGINT NOT NULL
    CONSTRAINT fk_tuner_artifact_host_id FOREIGN KEY(host_id) REFERENCES tuner_host (id)
    CONSTRAINT pk_tuner_artifact PRIMARY KEY (id)
    CONSTRAINT uq_tuner_artifact_key_host_id UNIQUE (key, host_id)
)
CREATE TABLE tuner_study (
    clocks JSON NOT NULL
    created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL
    epoch INTEGER NOT NULL
    host_id VARCHAR(36)
    id VARCHAR(36) NOT NULL
    lease_until DOUBLE PRECISION
    meta JSON NOT NULL
    name VARCHAR(100) NOT NULL
    spec JSON NOT NULL
    state VARCHAR(16) NOT NULL
    summary JSON NOT NULL
    token INTEGER NOT NULL
    updated_at TIMESTAMP WITHOUT TIME ZONE NOT NULL
    worker VARCHAR(100)
    CONSTRAINT ck_tuner_study_state CHECK (state IN ('queued', 'running', 'paused', 'stopping', 'confirming', 'finished', 'interrupted', 'cancelled', 'failed'))
    CONSTRAINT fk_tuner_study_host_id FOREIGN KEY(host_id) REFERENCES tuner_host (id)
    CONSTRAINT pk_tuner_study PRIMARY KEY (id)
    CONSTRAINT uq_tuner_study_name UNIQUE (name)
)
CREATE INDEX ix_tuner_study_state ON tuner_study (state)
CREATE TABLE tuner_worker (
    beat_at DOUBLE PRECISION NOT NULL
    capabilities JSON NOT NULL
    host_id VARCHAR(36)
    id VARCHAR(36) NOT NULL
    incarnation VARCHAR(36) NOT NULL
    name VARCHAR(100) NOT NULL
    pid INTEGER NOT NULL
    started_at TIMESTAMP WITHOUT TIME ZONE NOT NULL
    stopped_at TIMESTAMP WITHOUT TIME ZONE
    CONSTRAINT fk_tuner_worker_host_id FOREIGN KEY(host_id) REFERENCES tuner_host (id)
    CONSTRAINT pk_tuner_worker PRIMARY KEY (id)
    CONSTRAINT uq_tuner_worker_name UNIQUE (name)
)
CREATE TABLE tuner_trial (
    accuracy DOUBLE PRECISION
    accuracy_drop DOUBLE PRECISION
    artefact_key VARCHAR(64)
    attempt INTEGER NOT NULL
    candidate JSON NOT NULL
    confirmed JSON
    confirmed_at TIMESTAMP WITHOUT TIME ZONE
    confirmed_correct BYTEA
    confirmed_ratio JSON
    correct BYTEA
    created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL
    discard_reason TEXT
    discarded_at TIMESTAMP WITHOUT TIME ZONE
    finished_at TIMESTAMP WITHOUT TIME ZONE
    hash VARCHAR(16) NOT NULL
    host_id VARCHAR(36)
    id VARCHAR(36) NOT NULL
    kind VARCHAR(32)
    latency_ms DOUBLE PRECISION
    lease_until DOUBLE PRECISION
    log_tail TEXT
    memory_mb DOUBLE PRECISION
    metrics JSON NOT NULL
    number INTEGER NOT NULL
    optuna_number INTEGER
    ratio JSON
    reason TEXT
    reference_ms DOUBLE PRECISION
    repeat_of VARCHAR(36)
    requires JSON NOT NULL
    requires_key VARCHAR(16) NOT NULL
    retry_of VARCHAR(36)
    seed BOOLEAN NOT NULL
    size_mb DOUBLE PRECISION
    speedup DOUBLE PRECISION
    started_at TIMESTAMP WITHOUT TIME ZONE
    state VARCHAR(16) NOT NULL
    study_id VARCHAR(36) NOT NULL
    throughput DOUBLE PRECISION
    token INTEGER NOT NULL
    told BOOLEAN NOT NULL
    worker VARCHAR(100)
    CONSTRAINT ck_tuner_trial_state CHECK (state IN ('queued', 'running', 'complete', 'failed', 'pruned', 'repeated', 'cancelled'))
    CONSTRAINT fk_tuner_trial_host_id FOREIGN KEY(host_id) REFERENCES tuner_host (id)
    CONSTRAINT fk_tuner_trial_repeat_of FOREIGN KEY(repeat_of) REFERENCES tuner_trial (id) ON DELETE SET NULL
    CONSTRAINT fk_tuner_trial_retry_of FOREIGN KEY(retry_of) REFERENCES tuner_trial (id) ON DELETE SET NULL
    CONSTRAINT fk_tuner_trial_study_id FOREIGN KEY(study_id) REFERENCES tuner_study (id) ON DELETE CASCADE
    CONSTRAINT pk_tuner_trial PRIMARY KEY (id)
    CONSTRAINT uq_tuner_trial_study_id_number UNIQUE (study_id, number)
)
CREATE INDEX ix_tuner_trial_state_requires_key ON tuner_trial (state, requires_key)
CREATE INDEX ix_tuner_trial_study_id_hash ON tuner_trial (study_id, hash)
CREATE INDEX ix_tuner_trial_study_id_state_told ON tuner_trial (study_id, state, told)
CREATE TABLE tuner_event (
    at TIMESTAMP WITHOUT TIME ZONE NOT NULL
    data JSON NOT NULL
    id VARCHAR(36) NOT NULL
    kind VARCHAR(32) NOT NULL
    message TEXT NOT NULL
    study_id VARCHAR(36)
    trial_id VARCHAR(36)
    CONSTRAINT fk_tuner_event_study_id FOREIGN KEY(study_id) REFERENCES tuner_study (id) ON DELETE CASCADE
    CONSTRAINT fk_tuner_event_trial_id FOREIGN KEY(trial_id) REFERENCES tuner_trial (id) ON DELETE CASCADE
    CONSTRAINT pk_tuner_event PRIMARY KEY (id)
)
CREATE INDEX ix_tuner_event_study_id_at ON tuner_event (study_id, at)
CREATE TABLE tuner_measurement (
    host_id VARCHAR(36)
    id VARCHAR(36) NOT NULL
    kind VARCHAR(16) NOT NULL
    reference_samples BYTEA
    samples BYTEA
    summary JSON NOT NULL
    taken_at TIMESTAMP WITHOUT TIME ZONE NOT NULL
    trial_id VARCHAR(36) NOT NULL
    CONSTRAINT ck_tuner_measurement_kind CHECK (kind IN ('performance', 'quality', 'confirm'))
    CONSTRAINT fk_tuner_measurement_host_id FOREIGN KEY(host_id) REFERENCES tuner_host (id)
    CONSTRAINT fk_tuner_measurement_trial_id FOREIGN KEY(trial_id) REFERENCES tuner_trial (id) ON DELETE CASCADE
    CONSTRAINT pk_tuner_measurement PRIMARY KEY (id)
)
CREATE INDEX ix_tuner_measurement_trial_id ON tuner_measurement (trial_id)
CREATE TABLE tuner_stage_run (
    hit BOOLEAN NOT NULL
    id VARCHAR(36) NOT NULL
    key VARCHAR(64) NOT NULL
    name VARCHAR(64) NOT NULL
    position INTEGER NOT NULL
    seconds DOUBLE PRECISION NOT NULL
    trial_id VARCHAR(36) NOT NULL
    CONSTRAINT fk_tuner_stage_run_trial_id FOREIGN KEY(trial_id) REFERENCES tuner_trial (id) ON DELETE CASCADE
    CONSTRAINT pk_tuner_stage_run PRIMARY KEY (id)
)
CREATE INDEX ix_tuner_stage_run_trial_id ON tuner_stage_run (trial_id)
