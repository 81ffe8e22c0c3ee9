-- A receipt whose record lies in dlq: no decision will name it unless it is announced again. Never
-- settled.
ALTER TYPE receipt_state ADD VALUE 'failed' BEFORE 'decided';
