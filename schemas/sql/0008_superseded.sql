-- A failed parent is superseded by any delivery that goes on with its work, also a restart of its
-- restart.
DROP VIEW delivery_status;
CREATE VIEW delivery_status AS
    SELECT d.*,
           CASE WHEN d.state IN ('failed', 'cancelled', 'expired') AND EXISTS (
                    WITH RECURSIVE kin AS (
                        SELECT c.delivery, c.state FROM deliveries c WHERE c.parent = d.delivery
                        UNION
                        SELECT c.delivery, c.state FROM deliveries c
                        JOIN kin k ON c.parent = k.delivery)
                    SELECT FROM kin WHERE state NOT IN ('failed', 'cancelled', 'expired'))
                THEN 'superseded' ELSE d.state::text END AS status
    FROM deliveries d;
