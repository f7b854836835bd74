-- A store as schema 0005 made it (sqlite3 .dump), with one run that stops children early, its finals and a verification. Kept for good.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0005');
CREATE TABLE batches (
	run_id INTEGER NOT NULL, 
	batch INTEGER NOT NULL, 
	told_at DATETIME NOT NULL, 
	metrics JSON NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	PRIMARY KEY (run_id, batch), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE controllers (
	run_id INTEGER NOT NULL, 
	state BLOB NOT NULL, 
	PRIMARY KEY (run_id), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "controllers" VALUES(1,X'0102');
CREATE TABLE evaluations (
	run_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	"key" VARCHAR(16) NOT NULL, 
	tokens JSON NOT NULL, 
	formula TEXT NOT NULL, 
	canonical TEXT NOT NULL, 
	names JSON NOT NULL, 
	seed BIGINT NOT NULL, 
	replicate INTEGER NOT NULL, 
	asked_at DATETIME NOT NULL, 
	outcome VARCHAR(20), 
	reward DOUBLE, 
	result TEXT, 
	layers TEXT, 
	finished_at DATETIME, rungs JSON DEFAULT '[]' NOT NULL, steps INTEGER, 
	PRIMARY KEY (run_id, number), 
	CONSTRAINT uq_evaluations_run_id_key UNIQUE (run_id, "key"), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "evaluations" VALUES(1,1,'0000000000000001','["scale", "identity", "gate"]','x*sigmoid(beta*x)','x*sigmoid(beta*x)','["Swish"]',1,0,'2026-11-22 19:53:45.689906','trained',0.75,'{"run":"kept","evaluation":"0000000000000001","outcome":"trained","reason":"","val_accuracy":0.75,"val_loss":null,"steps":0,"gain":1.0,"curve":[],"seconds":0.0,"seconds_per_step":null,"parameters":null,"layers":[],"worker":"","environment":""}','[{"name":"act","channels":2,"betas":{"beta":[0.5,-1.0]},"histogram":[1,2]}]','2026-11-22 19:53:45.695165','[{"step": 15, "stop_below": 0.0, "forecast": []}, {"step": 75, "stop_below": 0.5, "forecast": [[0.25, 0.375], [0.5, 0.75]]}]',150);
INSERT INTO "evaluations" VALUES(1,2,'0000000000000002','["scale", "identity", "gate"]','x*sigmoid(beta*x)','x*sigmoid(beta*x)','["Swish"]',2,0,'2026-11-22 19:53:45.689906',NULL,NULL,NULL,NULL,NULL,'[{"step": 15, "stop_below": 0.0, "forecast": []}, {"step": 75, "stop_below": 0.5, "forecast": [[0.25, 0.375], [0.5, 0.75]]}]',NULL);
CREATE TABLE final_evaluations (
	run_id INTEGER NOT NULL, 
	"key" VARCHAR(16) NOT NULL, 
	fingerprint VARCHAR(16) NOT NULL, 
	child TEXT NOT NULL, 
	seed BIGINT NOT NULL, 
	reward DOUBLE NOT NULL, 
	result TEXT NOT NULL, 
	layers TEXT NOT NULL, 
	finished_at DATETIME NOT NULL, 
	PRIMARY KEY (run_id, "key"), 
	FOREIGN KEY(run_id) REFERENCES finals (run_id)
);
INSERT INTO "final_evaluations" VALUES(1,'0000000000000001','ffffffffffffffff','nf_resnet8',3,0.8,'{"run":"kept","evaluation":"0000000000000001","outcome":"trained","reason":"","val_accuracy":0.8,"val_loss":null,"test_accuracy":null,"steps":0,"gain":1.0,"curve":[{"step":3,"val_accuracy":0.8,"val_loss":0.5}],"seconds":0.0,"seconds_per_step":null,"parameters":null,"layers":[],"worker":"","environment":""}','[{"name":"act","channels":1,"betas":{"beta":[1.5]},"histogram":[1,2]}]','2026-11-26 05:08:12.274115');
CREATE TABLE finals (
	run_id INTEGER NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	reason TEXT NOT NULL, 
	"plan" TEXT NOT NULL, 
	result TEXT, 
	started_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	seconds DOUBLE NOT NULL, 
	PRIMARY KEY (run_id), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "finals" VALUES(1,'done','','{"settings":{"after_search":false,"classes":64,"screen_seeds":2,"screen_steps":null,"finalists":1,"seeds":3,"looks":[4,7],"children":["nf_resnet8","resnet20","efficientnet_tiny"],"steps":null},"candidates":[{"tokens":["scale","identity","gate"],"formula":"x*sigmoid(beta*x)","canonical":"x*sigmoid(beta*x)","names":["Swish"],"fingerprint":"ffffffffffffffff","equivalence_class":"x*sigmoid(x)","search_accuracy":0.82,"is_control":false}],"controls":[{"tokens":["scale","identity","gate"],"formula":"x*sigmoid(beta*x)","canonical":"x*sigmoid(beta*x)","names":["ReLU"],"fingerprint":"eeeeeeeeeeeeeeee","equivalence_class":"x*sigmoid(x)","search_accuracy":null,"is_control":true}],"search":{"child":{"name":"nf_resnet8","gain":"unit","squeeze_excite":"candidate"},"recipe":{"steps":300,"batch_size":128,"learning_rate":0.2,"momentum":0.9,"weight_decay":0.0005,"warmup_fraction":0.1,"clip_norm":1.0,"flip":true,"crop_padding":0,"label_smoothing":0.0,"drop_path_rate":0.0,"precision":"float32","curve_points":4}},"screen":{"child":{"name":"nf_resnet8","gain":"unit","squeeze_excite":"candidate"},"recipe":{"steps":300,"batch_size":128,"learning_rate":0.2,"momentum":0.9,"weight_decay":0.0005,"warmup_fraction":0.1,"clip_norm":1.0,"flip":true,"crop_padding":0,"label_smoothing":0.0,"drop_path_rate":0.0,"precision":"float32","curve_points":4}},"panel":[{"child":{"name":"nf_resnet8","gain":"unit","squeeze_excite":"candidate"},"recipe":{"steps":300,"batch_size":128,"learning_rate":0.2,"momentum":0.9,"weight_decay":0.0005,"warmup_fraction":0.1,"clip_norm":1.0,"flip":true,"crop_padding":0,"label_smoothing":0.0,"drop_path_rate":0.0,"precision":"float32","curve_points":4}}],"screen_seeds":[1,2],"final_seeds":[3,4,5]}','{"rows":[{"candidate":{"tokens":["scale","identity","gate"],"formula":"x*sigmoid(beta*x)","canonical":"x*sigmoid(beta*x)","names":["Swish"],"fingerprint":"ffffffffffffffff","equivalence_class":"x*sigmoid(x)","search_accuracy":0.82,"is_control":false},"seeds":3,"is_dropped":false,"mean_rank":1.0,"difference":{"mean":0.02,"low":0.01,"high":0.03},"p":0.01,"p_holm":0.01,"is_better":true,"is_tied":true,"children":[{"child":"nf_resnet8","accuracy":0.8,"failures":0,"difference":null,"p_holm":null}],"again_accuracy":0.81,"test_accuracy":0.8,"test_difference":null}],"reference":"ReLU","children":["nf_resnet8"],"seeds":3,"screened":0}','2026-11-26 05:08:12.267516','2026-11-26 05:08:12.285340',0.0);
CREATE TABLE proposals (
	run_id INTEGER NOT NULL, 
	batch INTEGER NOT NULL, 
	slot INTEGER NOT NULL, 
	tokens JSON NOT NULL, 
	evaluation VARCHAR(16) NOT NULL, 
	is_new BOOLEAN NOT NULL, 
	PRIMARY KEY (run_id, batch, slot), 
	CONSTRAINT fk_proposals_evaluation FOREIGN KEY(run_id, evaluation) REFERENCES evaluations (run_id, "key"), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "proposals" VALUES(1,0,0,'["scale", "identity", "gate"]','0000000000000001',1);
INSERT INTO "proposals" VALUES(1,0,1,'["scale", "identity", "gate"]','0000000000000002',1);
CREATE TABLE runs (
	id INTEGER NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	reason TEXT NOT NULL, 
	config JSON NOT NULL, 
	command TEXT NOT NULL, 
	versions JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	seconds DOUBLE NOT NULL, 
	trace VARCHAR(64) NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "runs" VALUES(1,'kept','running','','{"seed": 3, "evaluations": 60, "minutes": null, "batch": 20, "lag": 2, "controller": "ppo", "dataset": "fashion-mini", "child": {"name": "nf_resnet8", "gain": "unit", "squeeze_excite": "candidate"}, "recipe": {"steps": 150, "batch_size": 128, "learning_rate": 0.2, "momentum": 0.9, "weight_decay": 0.0005, "warmup_fraction": 0.1, "clip_norm": 1.0, "flip": true, "crop_padding": 0, "label_smoothing": 0.0, "drop_path_rate": 0.0, "precision": "float32", "curve_points": 4}, "space": {"units": 1, "unary": null, "binary": null}, "ppo": {"hidden": 100, "learning_rate": 0.00035, "epochs": 4, "clip_coef": 0.2, "entropy_coef": 0.01, "baseline_decay": 0.95, "max_grad_norm": 0.5}, "max_operations": 400, "timeout_seconds": 3600, "allow_user_code": false}','actsearch search --seed 3','{"python": "3.11.7"}','2026-11-22 12:00:00.000000',0.0,'');
CREATE TABLE test_accuracies (
	run_id INTEGER NOT NULL, 
	fingerprint VARCHAR(16) NOT NULL, 
	child VARCHAR(4096) NOT NULL, 
	seed BIGINT NOT NULL, 
	accuracy DOUBLE NOT NULL, 
	measured_at DATETIME NOT NULL, 
	PRIMARY KEY (run_id, fingerprint, child, seed), 
	FOREIGN KEY(run_id) REFERENCES finals (run_id)
);
INSERT INTO "test_accuracies" VALUES(1,'ffffffffffffffff','nf_resnet8',3,0.79,'2026-11-26 05:08:12.274115');
CREATE TABLE verification_evaluations (
	run_id INTEGER NOT NULL, 
	"key" VARCHAR(16) NOT NULL, 
	result TEXT NOT NULL, 
	finished_at DATETIME NOT NULL, 
	PRIMARY KEY (run_id, "key"), 
	FOREIGN KEY(run_id) REFERENCES finals (run_id)
);
INSERT INTO "verification_evaluations" VALUES(1,'0000000000000007','{"run":"kept","evaluation":"0000000000000007","outcome":"trained","reason":"","val_accuracy":0.875,"val_loss":null,"test_accuracy":null,"predicted_accuracy":null,"steps":0,"gain":1.0,"curve":[],"seconds":0.0,"seconds_per_step":null,"parameters":null,"layers":[],"worker":"","environment":""}','2026-11-26 09:38:52.472495');
CREATE TABLE verifications (
	run_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	reason TEXT NOT NULL, 
	"plan" TEXT NOT NULL, 
	result TEXT, 
	started_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	seconds DOUBLE NOT NULL, 
	PRIMARY KEY (run_id, number), 
	FOREIGN KEY(run_id) REFERENCES finals (run_id)
);
INSERT INTO "verifications" VALUES(1,1,'done','','{"settings":{"data":["digits"],"children":["resnet8"],"seeds":2,"steps":null},"functions":[{"candidate":{"tokens":["scale","identity","gate"],"formula":"x*sigmoid(beta*x)","canonical":"x*sigmoid(beta*x)","names":["Swish"],"fingerprint":"ffffffffffffffff","equivalence_class":"x*sigmoid(x)","search_accuracy":0.82,"is_control":false},"is_dropped":false,"difference":0.02},{"candidate":{"tokens":["scale","identity","gate"],"formula":"x*sigmoid(beta*x)","canonical":"x*sigmoid(beta*x)","names":["ReLU"],"fingerprint":"eeeeeeeeeeeeeeee","equivalence_class":"x*sigmoid(x)","search_accuracy":null,"is_control":true},"is_dropped":false,"difference":0.0}],"reference":"eeeeeeeeeeeeeeee","grounds":[{"dataset":"digits","protocol":{"child":{"name":"resnet8","gain":"unit","squeeze_excite":"candidate"},"recipe":{"steps":20,"batch_size":128,"learning_rate":0.2,"momentum":0.9,"weight_decay":0.0005,"warmup_fraction":0.1,"clip_norm":1.0,"flip":true,"crop_padding":0,"label_smoothing":0.0,"drop_path_rate":0.0,"precision":"float32","curve_points":4}}}],"seeds":[6,7]}','{"rows":[{"function":{"candidate":{"tokens":["scale","identity","gate"],"formula":"x*sigmoid(beta*x)","canonical":"x*sigmoid(beta*x)","names":["Swish"],"fingerprint":"ffffffffffffffff","equivalence_class":"x*sigmoid(x)","search_accuracy":0.82,"is_control":false},"is_dropped":false,"difference":0.02},"difference":{"mean":0.03,"low":0.01,"high":0.05},"grounds":[{"ground":"resnet8 on digits","accuracy":0.9,"failures":0,"difference":{"mean":0.03,"low":0.01,"high":0.05}}]},{"function":{"candidate":{"tokens":["scale","identity","gate"],"formula":"x*sigmoid(beta*x)","canonical":"x*sigmoid(beta*x)","names":["ReLU"],"fingerprint":"eeeeeeeeeeeeeeee","equivalence_class":"x*sigmoid(x)","search_accuracy":null,"is_control":true},"is_dropped":false,"difference":0.0},"difference":null,"grounds":[{"ground":"resnet8 on digits","accuracy":0.87,"failures":0,"difference":null}]}],"reference":"ReLU","grounds":["resnet8 on digits"],"seeds":2,"correlations":[{"ground":"all","spearman":1.0,"low":null,"high":null},{"ground":"resnet8 on digits","spearman":1.0,"low":null,"high":null}]}','2026-11-26 09:38:52.384316','2026-11-26 09:38:52.562678',0.0);
CREATE INDEX ix_evaluations_outcome ON evaluations (run_id, outcome, steps);
CREATE INDEX ix_evaluations_replicate ON evaluations (run_id, replicate);
CREATE INDEX ix_evaluations_reward ON evaluations (run_id, reward);
COMMIT;
