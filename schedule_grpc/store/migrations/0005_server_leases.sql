-- One lease for each server, instead of one for each attempt: its row in replicas, renewed by counting `beat` up.
-- Programs of version 4 would take what newer ones run, and are refused: stop all of them first.
-- An attempt that a server runs has a lease_owner and no lease_until.

ALTER TABLE replicas ADD COLUMN beat BIGINT NOT NULL DEFAULT 0;

UPDATE task_executions SET lease_until = NULL WHERE lease_until IS NOT NULL;
DROP INDEX execution_running;
CREATE INDEX execution_by_owner ON task_executions (lease_owner) WHERE lease_owner IS NOT NULL;
