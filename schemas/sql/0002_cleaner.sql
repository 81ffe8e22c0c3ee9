-- What the cleaner needs: holds, dismissals, commands and their answers, its own marks, and the one
-- question it asks: what is settled (docs/formats.md "Ledger states")?

-- A hold forbids deletion. Records of one hold lie in one partition, so offsets tell which is newer.
CREATE TABLE holds (
    hold            text PRIMARY KEY,
    study           text,
    receipts        text[],
    by_user         text,
    why             text,
    until           timestamptz, -- null: until it is released
    set_at          timestamptz,
    set_offset      bigint,
    released_at     timestamptz,
    released_offset bigint,
    released_by     text
);
CREATE INDEX holds_study ON holds (study);
CREATE INDEX holds_receipts ON holds USING gin (receipts);
CREATE VIEW standing_holds AS
    SELECT * FROM holds WHERE set_offset IS NOT NULL AND (until IS NULL OR until > now())
        AND (released_offset IS NULL OR released_offset < set_offset);

-- kind: task, delivery, held (id: decision, or decision/rule) …
CREATE TABLE dismissals (
    kind    text NOT NULL,
    id      text NOT NULL,
    by_user text,
    why     text,
    at      timestamptz NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE TABLE commands (
    command     text PRIMARY KEY,
    type        text,
    study       text,
    decisions   jsonb,
    rules       jsonb,
    asked_at    timestamptz,
    answered_at timestamptz,
    outcome     text
);
CREATE INDEX commands_replay ON commands (asked_at)
    WHERE type IN ('command.replay', 'command.reroute');

-- Written by the cleaner alone. condemned_at: chosen, the gateway tells it to whoever sets a hold;
-- final: confirmed after the barrier, it will be deleted whatever comes; removed_at: it is gone.
ALTER TABLE receipts
    ADD condemned_at timestamptz,
    ADD condemned_pass text,
    ADD condemned_final boolean NOT NULL DEFAULT false,
    ADD removed_at timestamptz;
CREATE INDEX receipts_condemned ON receipts (condemned_at)
    WHERE condemned_at IS NOT NULL AND removed_at IS NULL;

-- The same for what is no receipt: results, logs, manifests.
CREATE TABLE condemned (
    kind         text NOT NULL,
    id           text NOT NULL,
    key          text NOT NULL, -- with a slash at its end: everything below
    pass         text NOT NULL,
    final        boolean NOT NULL DEFAULT false,
    condemned_at timestamptz NOT NULL DEFAULT now(),
    removed_at   timestamptz,
    PRIMARY KEY (kind, id)
);
CREATE INDEX condemned_open ON condemned (pass) WHERE removed_at IS NULL;

-- of: decisions replayed. cleaned_at: all objects of its members are gone (written by the cleaner).
ALTER TABLE decisions ADD "of" jsonb, ADD cleaned_at timestamptz;
CREATE INDEX decisions_uncleaned ON decisions (decided_at, decision) WHERE cleaned_at IS NULL;
CREATE INDEX decisions_replays ON decisions (study) WHERE command IS NOT NULL;
CREATE INDEX deliveries_task ON deliveries (task) WHERE task IS NOT NULL;

-- Ended well, dismissed, or superseded by something later of which the same can be said.
CREATE FUNCTION delivery_well(d deliveries) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT d.state = 'delivered' OR (d.state = 'dismissed' AND d.finished_at IS NOT NULL)
        OR (d.state IN ('failed', 'cancelled', 'expired') AND EXISTS (
            WITH RECURSIVE kin AS (
                SELECT c.delivery, c.state, c.finished_at FROM deliveries c
                WHERE c.parent = d.delivery
                UNION
                SELECT c.delivery, c.state, c.finished_at FROM deliveries c
                JOIN kin k ON c.parent = k.delivery)
            SELECT FROM kin WHERE state = 'delivered'
                OR (state = 'dismissed' AND finished_at IS NOT NULL)))
$$;
CREATE FUNCTION task_well(t tasks) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT t.state = 'succeeded' OR (t.state = 'dismissed' AND t.finished_at IS NOT NULL)
        OR (t.state IN ('failed', 'cancelled', 'expired') AND EXISTS (
            WITH RECURSIVE kin AS (
                SELECT c.task, c.state, c.finished_at FROM tasks c WHERE c.parent = t.task
                UNION
                SELECT c.task, c.state, c.finished_at FROM tasks c JOIN kin k ON c.parent = k.task)
            SELECT FROM kin WHERE state = 'succeeded'
                OR (state = 'dismissed' AND finished_at IS NOT NULL)))
$$;

-- A held entry ends by a replay of its decision or by a dismissal.
CREATE FUNCTION held_ended(x decisions, rule text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM dismissals WHERE kind = 'held'
                   AND id IN (x.decision, x.decision || '/' || rule))
        OR EXISTS (SELECT FROM decisions y LEFT JOIN commands c ON c.command = y.command
                   WHERE y.study = x.study AND y.command IS NOT NULL AND y."of" ? x.decision
                   AND (COALESCE(jsonb_array_length(c.rules), 0) = 0 OR c.rules ? rule))
$$;

-- When what a decision asked for had ended; null: it has not.
CREATE FUNCTION decision_work_end(x decisions) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN
        NOT EXISTS (SELECT FROM tasks t WHERE t.decision = x.decision AND NOT task_well(t))
        AND NOT EXISTS (SELECT FROM deliveries d
                        WHERE d.decision = x.decision AND NOT delivery_well(d))
        AND NOT EXISTS (SELECT FROM tasks t JOIN deliveries d ON d.task = t.task
                        WHERE t.decision = x.decision AND NOT delivery_well(d))
        AND NOT EXISTS (SELECT FROM jsonb_array_elements(x.held) h
                        WHERE NOT held_ended(x, h ->> 'rule'))
    THEN GREATEST(
        x.decided_at,
        (SELECT max(GREATEST(t.finished_at, t.dismissed_at)) FROM tasks t
         WHERE t.decision = x.decision),
        (SELECT max(GREATEST(d.finished_at, d.dismissed_at)) FROM deliveries d
         WHERE d.decision = x.decision),
        (SELECT max(GREATEST(d.finished_at, d.dismissed_at)) FROM tasks t
         JOIN deliveries d ON d.task = t.task WHERE t.decision = x.decision)) END
$$;

-- The same with every study group that it joined: the first decision of the group that covers it.
CREATE FUNCTION decision_end(x decisions) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN w.at IS NOT NULL AND NOT g.open THEN GREATEST(w.at, g.at) END
    FROM (SELECT decision_work_end(x) AS at) w, (
        SELECT max(e.at) AS at, COALESCE(bool_or(e.at IS NULL), false) AS open
        FROM jsonb_array_elements_text(CASE WHEN x.kind = 'series' THEN x.joined END) j
        CROSS JOIN LATERAL (SELECT (
            SELECT decision_work_end(s) FROM decisions s
            WHERE s.kind = 'study' AND s.study = x.study AND s.partition = x.partition
                AND s.last_offset >= x."offset" AND s.joined ->> 0 = j.value
            ORDER BY s.last_offset LIMIT 1) AS at) e) g
$$;

-- Nothing stands against deleting anything of this study: no rejected record, no hold on it, no
-- decision whose members are not here yet, no unanswered replay or reroute. An answer counts after ten
-- minutes: by then the decisions that came with it are in the ledger, too.
CREATE FUNCTION study_clear(s text) RETURNS boolean LANGUAGE sql STABLE COST 1000 AS $$
    SELECT NOT EXISTS (SELECT FROM rejected WHERE study = s)
        AND NOT EXISTS (SELECT FROM standing_holds WHERE study = s)
        AND NOT EXISTS (SELECT FROM decisions WHERE study = s AND members_at IS NULL
                        AND manifest_key IS NOT NULL)
        AND NOT EXISTS (
            SELECT FROM commands c WHERE type IN ('command.replay', 'command.reroute')
            AND (answered_at IS NULL OR answered_at > now() - interval '10 minutes')
            AND (c.study = s
                 OR EXISTS (SELECT FROM decisions x WHERE x.study = s
                            AND c.decisions ? x.decision)
                 OR (c.study IS NULL AND COALESCE(jsonb_array_length(c.decisions), 0) = 0)))
$$;

-- The receipts of these studies that are settled and due, and since when. at_once: disk pressure, what
-- is settled need not be kept. A task or delivery over more than its decision's own manifest (a union
-- over the series) names all receipts of the series.
CREATE FUNCTION settled_receipts(studies text[], at_once boolean)
RETURNS TABLE (receipt text, due timestamptz) LANGUAGE sql STABLE AS $$
    WITH s AS MATERIALIZED (
        SELECT DISTINCT u.study FROM unnest(studies) u (study) WHERE study_clear(u.study)),
    d AS MATERIALIZED (
        SELECT x.decision, x.study, x.series,
            e.at + CASE WHEN at_once THEN interval '0'
                   ELSE make_interval(secs => COALESCE(x.keep_seconds, 259200)) END AS due,
            EXISTS (SELECT FROM tasks t WHERE t.decision = x.decision
                    AND t.manifest_key IS DISTINCT FROM x.manifest_key)
            OR EXISTS (SELECT FROM deliveries v WHERE v.decision = x.decision
                       AND v.manifest_key IS DISTINCT FROM x.manifest_key) AS wide
        FROM s JOIN decisions x USING (study)
        CROSS JOIN LATERAL (SELECT decision_end(x) AS at OFFSET 0) e)
    SELECT r.receipt, max(d.due)
    FROM d JOIN members m USING (decision) JOIN receipts r ON r.receipt = m.receipt
    WHERE r.state = 'decided' AND r.object_key IS NOT NULL AND r.removed_at IS NULL
        AND NOT EXISTS (SELECT FROM d w WHERE w.wide AND w.study = r.study
                        AND (w.series IS NULL OR w.series = r.series)
                        AND (w.due IS NULL OR w.due > now()))
        AND NOT EXISTS (SELECT FROM standing_holds h WHERE r.receipt = ANY (h.receipts))
        AND NOT EXISTS (SELECT FROM members o JOIN decisions y USING (decision)
                        WHERE o.receipt = r.receipt
                        AND y.study IS DISTINCT FROM r.study)
    GROUP BY r.receipt
    HAVING bool_and(d.due IS NOT NULL AND d.due <= now())
$$;

-- Results (after the last end of their deliveries, plus keep), logs (30 days), manifests (with their
-- members, but not before 35 days) that are due.
CREATE FUNCTION settled_objects(at_once boolean)
RETURNS TABLE (kind text, id text, key text) LANGUAGE sql STABLE AS $$
    SELECT 'result', t.task, 'results/' || t.task || '/' FROM tasks t
    WHERE t.result_key IS NOT NULL AND t.finished_at IS NOT NULL
        AND NOT EXISTS (SELECT FROM condemned c WHERE c.kind = 'result' AND c.id = t.task
                        AND c.final)
        AND task_well(t) AND study_clear(t.study)
        AND NOT EXISTS (SELECT FROM deliveries d WHERE d.task = t.task AND NOT delivery_well(d))
        AND (at_once OR now() >= make_interval(secs => COALESCE(t.keep_seconds, 259200))
             + GREATEST(t.finished_at, t.dismissed_at,
                        (SELECT max(GREATEST(d.finished_at, d.dismissed_at)) FROM deliveries d
                         WHERE d.task = t.task)))
    UNION ALL
    SELECT 'log', t.task, 'logs/' || t.task || '/' FROM tasks t
    WHERE t.started_at IS NOT NULL AND t.finished_at < now() - interval '30 days'
        AND NOT EXISTS (SELECT FROM condemned c WHERE c.kind = 'log' AND c.id = t.task AND c.final)
        AND study_clear(t.study)
    UNION ALL
    SELECT 'manifest', x.decision, x.manifest_key FROM decisions x
    WHERE x.cleaned_at IS NOT NULL AND x.manifest_key IS NOT NULL
        AND x.decided_at < now() - interval '35 days'
        AND NOT EXISTS (SELECT FROM condemned c WHERE c.kind = 'manifest' AND c.id = x.decision
                        AND c.final)
        AND study_clear(x.study)
    UNION ALL
    SELECT 'manifest', t.task, t.manifest_key FROM tasks t JOIN decisions x USING (decision)
    WHERE x.cleaned_at IS NOT NULL AND t.manifest_key IS DISTINCT FROM x.manifest_key
        AND t.manifest_key IS NOT NULL AND x.decided_at < now() - interval '35 days'
        AND NOT EXISTS (SELECT FROM condemned c WHERE c.kind = 'manifest' AND c.id = t.task
                        AND c.final)
        AND study_clear(x.study)
$$;
