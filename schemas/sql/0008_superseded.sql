-- A failed parent is superseded by any delivery that goes on with its work, also by a restart of its
-- restart. Few have one: the others do not pay for it.
CREATE FUNCTION delivery_carried_on(id text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        WITH RECURSIVE kin AS (
            SELECT c.delivery, c.state FROM deliveries c WHERE c.parent = id
            UNION
            SELECT c.delivery, c.state FROM deliveries c JOIN kin k ON c.parent = k.delivery)
        SELECT FROM kin WHERE state NOT IN ('failed', 'cancelled', 'expired'))
$$;
DROP VIEW delivery_status;
CREATE VIEW delivery_status AS
    SELECT d.*,
           CASE WHEN d.state IN ('failed', 'cancelled', 'expired')
                     AND (EXISTS (SELECT FROM deliveries c WHERE c.parent = d.delivery
                                  AND c.state NOT IN ('failed', 'cancelled', 'expired'))
                          OR (EXISTS (SELECT FROM deliveries c WHERE c.parent = d.delivery
                                      AND c.state IN ('failed', 'cancelled', 'expired'))
                              AND delivery_carried_on(d.delivery)))
                THEN 'superseded' ELSE d.state::text END AS status
    FROM deliveries d;
