-- As before; what was replayed or dismissed is held no more. One word for a study. The first that applies, worst first.
CREATE OR REPLACE FUNCTION study_state(s text) RETURNS text LANGUAGE sql STABLE COST 10000 AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM rejected r WHERE r.study = s) THEN 'rejected'
        WHEN EXISTS (SELECT FROM delivery_status d WHERE d.study = s
                     AND d.status IN ('failed', 'expired'))
          OR EXISTS (SELECT FROM task_status t WHERE t.study = s
                     AND t.status IN ('failed', 'expired')) THEN 'failed'
        WHEN EXISTS (SELECT FROM receipts r WHERE r.study = s AND r.state = 'stored')
            THEN 'receiving'
        WHEN EXISTS (SELECT FROM deliveries d WHERE d.study = s AND d.state < 'delivered')
          OR EXISTS (SELECT FROM tasks t WHERE t.study = s AND t.state < 'succeeded')
            THEN 'working'
        WHEN EXISTS (SELECT FROM decisions d
                     CROSS JOIN LATERAL jsonb_array_elements(d.held) h
                     WHERE d.study = s AND jsonb_array_length(d.held) > 0
                     AND NOT held_ended(d, h ->> 'rule')) THEN 'held'
        WHEN EXISTS (SELECT FROM deliveries d WHERE d.study = s AND d.state = 'delivered')
            THEN 'delivered'
        WHEN EXISTS (SELECT FROM decisions d WHERE d.study = s AND d.discarded_by IS NULL)
            THEN 'done'
        ELSE 'discarded' END
$$;
