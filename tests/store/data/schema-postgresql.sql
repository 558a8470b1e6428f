CREATE TABLE tuner_artifact ( id VARCHAR(36) NOT NULL, key VARCHAR(64) NOT NULL, kind VARCHAR(32) NOT NULL, path TEXT NOT NULL, size_bytes BIGINT NOT NULL, created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL, last_used_at TIMESTAMP WITHOUT TIME ZONE NOT NULL
    CONSTRAINT pk_tuner_artifact PRIMARY KEY (id)
    CONSTRAINT uq_tuner_artifact_key UNIQUE (key)
)
CREATE TABLE tuner_host ( id VARCHAR(36) NOT NULL, fingerprint VARCHAR(64) NOT NULL, name VARCHAR(255) NOT NULL, data JSON NOT NULL, seen_at TIMESTAMP WITHOUT TIME ZONE NOT NULL
    CONSTRAINT pk_tuner_host PRIMARY KEY (id)
    CONSTRAINT uq_tuner_host_fingerprint UNIQUE (fingerprint)
)
CREATE TABLE tuner_study ( id VARCHAR(36) NOT NULL, name VARCHAR(100) NOT NULL, spec JSON NOT NULL, state VARCHAR(16) NOT NULL, baseline_ms DOUBLE PRECISION, meta JSON NOT NULL, host_id VARCHAR(36), created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL, updated_at TIMESTAMP WITHOUT TIME ZONE NOT NULL
    CONSTRAINT ck_tuner_study_state CHECK (state IN ('running', 'finished', 'interrupted', 'failed'))
    CONSTRAINT fk_tuner_study_host_id FOREIGN KEY(host_id) REFERENCES tuner_host (id)
    CONSTRAINT pk_tuner_study PRIMARY KEY (id)
    CONSTRAINT uq_tuner_study_name UNIQUE (name)
)
CREATE TABLE tuner_trial ( id VARCHAR(36) NOT NULL, study_id VARCHAR(36) NOT NULL, number INTEGER NOT NULL, optuna_number INTEGER, candidate JSON NOT NULL, hash VARCHAR(16) NOT NULL, seed BOOLEAN NOT NULL, state VARCHAR(16) NOT NULL, kind VARCHAR(32), reason TEXT, log_tail TEXT, metrics JSON NOT NULL, confirmed JSON, accuracy DOUBLE PRECISION, accuracy_drop DOUBLE PRECISION, latency_ms DOUBLE PRECISION, speedup DOUBLE PRECISION, throughput DOUBLE PRECISION, memory_mb DOUBLE PRECISION, size_mb DOUBLE PRECISION, ratio JSON, confirmed_ratio JSON, reference_ms DOUBLE PRECISION, correct BYTEA, confirmed_correct BYTEA, artefact_key VARCHAR(64), repeat_of VARCHAR(36), host_id VARCHAR(36), attempt INTEGER NOT NULL, created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL, started_at TIMESTAMP WITHOUT TIME ZONE, finished_at TIMESTAMP WITHOUT TIME ZONE, confirmed_at TIMESTAMP WITHOUT TIME ZONE
    CONSTRAINT ck_tuner_trial_state CHECK (state IN ('queued', 'running', 'complete', 'failed', 'pruned', 'repeated'))
    CONSTRAINT fk_tuner_trial_host_id FOREIGN KEY(host_id) REFERENCES tuner_host (id)
    CONSTRAINT fk_tuner_trial_repeat_of FOREIGN KEY(repeat_of) REFERENCES tuner_trial (id) ON DELETE SET NULL
    CONSTRAINT fk_tuner_trial_study_id FOREIGN KEY(study_id) REFERENCES tuner_study (id) ON DELETE CASCADE
    CONSTRAINT pk_tuner_trial PRIMARY KEY (id)
    CONSTRAINT uq_tuner_trial_study_id_number UNIQUE (study_id, number)
)
CREATE INDEX ix_tuner_trial_study_id_hash ON tuner_trial (study_id, hash)
CREATE TABLE tuner_event ( id VARCHAR(36) NOT NULL, study_id VARCHAR(36), trial_id VARCHAR(36), at TIMESTAMP WITHOUT TIME ZONE NOT NULL, kind VARCHAR(32) NOT NULL, message TEXT NOT NULL, data JSON NOT NULL
    CONSTRAINT fk_tuner_event_study_id FOREIGN KEY(study_id) REFERENCES tuner_study (id) ON DELETE CASCADE
    CONSTRAINT fk_tuner_event_trial_id FOREIGN KEY(trial_id) REFERENCES tuner_trial (id) ON DELETE CASCADE
    CONSTRAINT pk_tuner_event PRIMARY KEY (id)
)
CREATE INDEX ix_tuner_event_study_id_at ON tuner_event (study_id, at)
CREATE TABLE tuner_measurement ( id VARCHAR(36) NOT NULL, trial_id VARCHAR(36) NOT NULL, kind VARCHAR(16) NOT NULL, samples BYTEA, reference_samples BYTEA, summary JSON NOT NULL, host_id VARCHAR(36), taken_at TIMESTAMP WITHOUT TIME ZONE NOT NULL
    CONSTRAINT ck_tuner_measurement_kind CHECK (kind IN ('performance', 'quality', 'confirm'))
    CONSTRAINT fk_tuner_measurement_host_id FOREIGN KEY(host_id) REFERENCES tuner_host (id)
    CONSTRAINT fk_tuner_measurement_trial_id FOREIGN KEY(trial_id) REFERENCES tuner_trial (id) ON DELETE CASCADE
    CONSTRAINT pk_tuner_measurement PRIMARY KEY (id)
)
CREATE INDEX ix_tuner_measurement_trial_id ON tuner_measurement (trial_id)
CREATE TABLE tuner_stage_run ( id VARCHAR(36) NOT NULL, trial_id VARCHAR(36) NOT NULL, position INTEGER NOT NULL, name VARCHAR(64) NOT NULL, key VARCHAR(64) NOT NULL, hit BOOLEAN NOT NULL, seconds DOUBLE PRECISION NOT NULL
    CONSTRAINT fk_tuner_stage_run_trial_id FOREIGN KEY(trial_id) REFERENCES tuner_trial (id) ON DELETE CASCADE
    CONSTRAINT pk_tuner_stage_run PRIMARY KEY (id)
)
CREATE INDEX ix_tuner_stage_run_trial_id ON tuner_stage_run (trial_id)
