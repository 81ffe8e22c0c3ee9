-- The balances read the decisions and the ended deliveries of the last day every few minutes: not the
-- whole tables.
CREATE INDEX decisions_decided ON decisions (decided_at);
CREATE INDEX deliveries_finished ON deliveries (finished_at) WHERE finished_at IS NOT NULL;
