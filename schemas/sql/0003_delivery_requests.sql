-- A restart is a new request made from the one that ended: the ledger keeps it as it was written.
ALTER TABLE deliveries ADD request text COMPRESSION lz4;
