BEGIN TRANSACTION;
CREATE TABLE tuner_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT tuner_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "tuner_alembic_version" VALUES('0001');
CREATE TABLE tuner_artifact (
	id VARCHAR(36) NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	path TEXT NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	last_used_at DATETIME NOT NULL, 
	CONSTRAINT pk_tuner_artifact PRIMARY KEY (id), 
	CONSTRAINT uq_tuner_artifact_key UNIQUE ("key")
);
INSERT INTO "tuner_artifact" VALUES('7afdf6bc-605e-4939-9385-ccc24e48fa10','k','build','/a',3,'2026-11-23 15:52:27.434371','2026-11-23 15:52:27.433691');
CREATE TABLE tuner_event (
	id VARCHAR(36) NOT NULL, 
	study_id VARCHAR(36), 
	trial_id VARCHAR(36), 
	at DATETIME NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	message TEXT NOT NULL, 
	data JSON NOT NULL, 
	CONSTRAINT pk_tuner_event PRIMARY KEY (id), 
	CONSTRAINT fk_tuner_event_study_id FOREIGN KEY(study_id) REFERENCES tuner_study (id) ON DELETE CASCADE, 
	CONSTRAINT fk_tuner_event_trial_id FOREIGN KEY(trial_id) REFERENCES tuner_trial (id) ON DELETE CASCADE
);
INSERT INTO "tuner_event" VALUES('e02e6a9b-1186-4fd1-bf8b-4eca10b25c25','349f9731-cd20-49f5-a5e8-a965525f87e9','35fe8978-cd46-46fe-af24-cafdc3636a2c','2026-11-23 15:52:27.431879','note','hello','{}');
CREATE TABLE tuner_host (
	id VARCHAR(36) NOT NULL, 
	fingerprint VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	data JSON NOT NULL, 
	seen_at DATETIME NOT NULL, 
	CONSTRAINT pk_tuner_host PRIMARY KEY (id), 
	CONSTRAINT uq_tuner_host_fingerprint UNIQUE (fingerprint)
);
CREATE TABLE tuner_measurement (
	id VARCHAR(36) NOT NULL, 
	trial_id VARCHAR(36) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	samples BLOB, 
	reference_samples BLOB, 
	summary JSON NOT NULL, 
	host_id VARCHAR(36), 
	taken_at DATETIME NOT NULL, 
	CONSTRAINT pk_tuner_measurement PRIMARY KEY (id), 
	CONSTRAINT ck_tuner_measurement_kind CHECK (kind IN ('performance', 'quality', 'confirm')), 
	CONSTRAINT fk_tuner_measurement_host_id FOREIGN KEY(host_id) REFERENCES tuner_host (id), 
	CONSTRAINT fk_tuner_measurement_trial_id FOREIGN KEY(trial_id) REFERENCES tuner_trial (id) ON DELETE CASCADE
);
INSERT INTO "tuner_measurement" VALUES('f5a8f075-34e1-4c68-b7e0-1458c9eb0ea4','35fe8978-cd46-46fe-af24-cafdc3636a2c','performance',X'789C636000810FF60C10E000000BE70170',X'789C636000010E0730C520E0000003000099','{"p50": 1.5}',NULL,'2026-11-23 15:52:27.418011');
CREATE TABLE tuner_stage_run (
	id VARCHAR(36) NOT NULL, 
	trial_id VARCHAR(36) NOT NULL, 
	position INTEGER NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	hit BOOLEAN NOT NULL, 
	seconds DOUBLE NOT NULL, 
	CONSTRAINT pk_tuner_stage_run PRIMARY KEY (id), 
	CONSTRAINT fk_tuner_stage_run_trial_id FOREIGN KEY(trial_id) REFERENCES tuner_trial (id) ON DELETE CASCADE
);
INSERT INTO "tuner_stage_run" VALUES('bf12c50d-952e-4833-b33e-409259c37481','35fe8978-cd46-46fe-af24-cafdc3636a2c',0,'shape','k',0,0.5);
CREATE TABLE tuner_study (
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(100) NOT NULL, 
	spec JSON NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	baseline_ms DOUBLE, 
	meta JSON NOT NULL, 
	host_id VARCHAR(36), 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_tuner_study PRIMARY KEY (id), 
	CONSTRAINT ck_tuner_study_state CHECK (state IN ('running', 'finished', 'interrupted', 'failed')), 
	CONSTRAINT fk_tuner_study_host_id FOREIGN KEY(host_id) REFERENCES tuner_host (id), 
	CONSTRAINT uq_tuner_study_name UNIQUE (name)
);
INSERT INTO "tuner_study" VALUES('349f9731-cd20-49f5-a5e8-a965525f87e9','stored','{"name": "stored"}','running',NULL,'{}',NULL,'2026-11-23 15:52:27.392547','2026-11-23 15:52:27.428591');
CREATE TABLE tuner_trial (
	id VARCHAR(36) NOT NULL, 
	study_id VARCHAR(36) NOT NULL, 
	number INTEGER NOT NULL, 
	optuna_number INTEGER, 
	candidate JSON NOT NULL, 
	hash VARCHAR(16) NOT NULL, 
	seed BOOLEAN NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	kind VARCHAR(32), 
	reason TEXT, 
	log_tail TEXT, 
	metrics JSON NOT NULL, 
	confirmed JSON, 
	accuracy DOUBLE, 
	accuracy_drop DOUBLE, 
	latency_ms DOUBLE, 
	speedup DOUBLE, 
	throughput DOUBLE, 
	memory_mb DOUBLE, 
	size_mb DOUBLE, 
	ratio JSON, 
	confirmed_ratio JSON, 
	reference_ms DOUBLE, 
	correct BLOB, 
	confirmed_correct BLOB, 
	artefact_key VARCHAR(64), 
	repeat_of VARCHAR(36), 
	host_id VARCHAR(36), 
	attempt INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	started_at DATETIME, 
	finished_at DATETIME, 
	confirmed_at DATETIME, 
	CONSTRAINT pk_tuner_trial PRIMARY KEY (id), 
	CONSTRAINT ck_tuner_trial_state CHECK (state IN ('queued', 'running', 'complete', 'failed', 'pruned', 'repeated')), 
	CONSTRAINT fk_tuner_trial_host_id FOREIGN KEY(host_id) REFERENCES tuner_host (id), 
	CONSTRAINT fk_tuner_trial_repeat_of FOREIGN KEY(repeat_of) REFERENCES tuner_trial (id) ON DELETE SET NULL, 
	CONSTRAINT fk_tuner_trial_study_id FOREIGN KEY(study_id) REFERENCES tuner_study (id) ON DELETE CASCADE, 
	CONSTRAINT uq_tuner_trial_study_id_number UNIQUE (study_id, number)
);
INSERT INTO "tuner_trial" VALUES('35fe8978-cd46-46fe-af24-cafdc3636a2c','349f9731-cd20-49f5-a5e8-a965525f87e9',0,0,'{"distillation": {"student_layers": 6}, "pruning": {"heads": 0.0, "ffn": 0.0}, "quantization": {"bits": 32, "scheme": "none", "group_size": null}, "parallel": {"threads": 2, "replicas": 1}, "backend": {"engine": "torch", "device": "cpu", "fixed_shape": false}}','07d7d8f96d8eedc8',0,'complete',NULL,NULL,NULL,'{"accuracy": {"value": 0.9, "low": 0.9, "high": 0.9}}',NULL,0.9,NULL,NULL,NULL,NULL,NULL,NULL,'{"value": 0.5, "low": 0.5, "high": 0.5}',NULL,NULL,X'789C636280800600009B0083',NULL,'k',NULL,NULL,1,'2026-11-23 15:52:27.402135','2026-11-23 15:52:27.412575','2026-11-23 15:52:27.416221',NULL);
INSERT INTO "tuner_trial" VALUES('0caa2e9c-2692-40e1-8bb0-67ae59f7d823','349f9731-cd20-49f5-a5e8-a965525f87e9',1,1,'{"distillation": {"student_layers": 6}, "pruning": {"heads": 0.0, "ffn": 0.0}, "quantization": {"bits": 32, "scheme": "none", "group_size": null}, "parallel": {"threads": 2, "replicas": 1}, "backend": {"engine": "torch", "device": "cpu", "fixed_shape": false}}','07d7d8f96d8eedc8',0,'repeated',NULL,NULL,NULL,'{"accuracy": {"value": 0.9, "low": 0.9, "high": 0.9}}',NULL,0.9,NULL,NULL,NULL,NULL,NULL,NULL,'{"value": 0.5, "low": 0.5, "high": 0.5}',NULL,NULL,X'789C636280800600009B0083',NULL,'k','35fe8978-cd46-46fe-af24-cafdc3636a2c',NULL,0,'2026-11-23 15:52:27.424381',NULL,'2026-11-23 15:52:27.426910',NULL);
CREATE INDEX ix_tuner_trial_study_id_hash ON tuner_trial (study_id, hash);
CREATE INDEX ix_tuner_event_study_id_at ON tuner_event (study_id, at);
CREATE INDEX ix_tuner_measurement_trial_id ON tuner_measurement (trial_id);
CREATE INDEX ix_tuner_stage_run_trial_id ON tuner_stage_run (trial_id);
COMMIT;
