-- The ledger (docs/formats.md "Ledger states"). Rows come from Kafka records in any order between
-- topics: every kind of record writes only its own columns, states only advance (the order of the
-- enums), nothing references anything, and every column that a record brings may be null.

CREATE TYPE receipt_state AS ENUM ('stored', 'decided', 'settled', 'condemned', 'deleted');
CREATE TYPE task_state AS ENUM ('asked', 'requested', 'started', 'succeeded', 'failed', 'cancelled',
                                'expired', 'dismissed');
CREATE TYPE delivery_state AS ENUM ('asked', 'requested', 'attempted', 'delivered', 'failed',
                                    'cancelled', 'expired', 'dismissed');
CREATE TYPE member_state AS ENUM ('open', 'delivered', 'repeated', 'not-accepted', 'failed',
                                  'cancelled');
CREATE TYPE member_role AS ENUM ('member', 'duplicate', 'superseded');
CREATE TYPE association_outcome AS ENUM ('released', 'aborted', 'lost');

-- Where the bookkeeper stands: advanced by compare-and-set in the transaction of the rows.
CREATE TABLE positions (
    topic        text NOT NULL,
    partition    int NOT NULL,
    next_offset  bigint NOT NULL,
    newest_claim bigint NOT NULL DEFAULT -1,
    at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition)
);

-- One per C-STORE. "partition", "offset": of instance.stored (the newest announcement).
CREATE TABLE receipts (
    receipt     text PRIMARY KEY,
    state       receipt_state NOT NULL DEFAULT 'stored',
    study       text,
    series      text,
    sop         text,
    sop_class   text,
    syntax      text,
    object_key  text,
    size        bigint,
    sha256      text,
    association text,
    source      text,
    calling_ae  text,
    called_ae   text,
    peer        text,
    received_at timestamptz, -- the receiver's clock
    stored_at   timestamptz, -- log time
    flags       text,        -- comma-separated
    tags        jsonb COMPRESSION lz4,
    partition   int,
    "offset"    bigint
) WITH (fillfactor = 90);
CREATE INDEX receipts_series ON receipts (study, series);
CREATE INDEX receipts_stored ON receipts (stored_at) WHERE state = 'stored';

-- One per study and per series seen: what lists show and searches find.
CREATE TABLE studies (
    study       text PRIMARY KEY,
    description text,
    patient_id  text,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL
);
CREATE INDEX studies_last ON studies (last_at DESC, study DESC);
CREATE INDEX studies_prefix ON studies (study text_pattern_ops);
CREATE TABLE series (
    study       text NOT NULL,
    series      text NOT NULL,
    patient_id  text,
    accession   text,
    modality    text,
    description text,
    source      text,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    PRIMARY KEY (study, series)
);
CREATE INDEX series_series ON series (series);
CREATE INDEX series_accession ON series (accession text_pattern_ops);
CREATE INDEX series_patient ON series (patient_id text_pattern_ops);

-- Valid decisions only; the void ones stand in void_choices.
CREATE TABLE decisions (
    decision        text PRIMARY KEY,
    kind            text NOT NULL, -- series | study
    study           text,
    series          text,
    command         text,
    reason          text,
    addition        bigint,
    first_offset    bigint,
    last_offset     bigint,
    last_receipt    text,
    n               bigint, -- distinct receipts of the window: members and shadows here, plus:
    left_out        bigint, -- those that stood in an earlier decision
    bytes           bigint,
    opened_at       timestamptz,
    closed_at       timestamptz,
    decided_at      timestamptz NOT NULL, -- log time
    waited          double precision,
    manifest_key    text,
    manifest_sha256 text,
    -- Are the members here? null: the object was not readable yet; members_error says why.
    members_at      timestamptz,
    members_error   text,
    tags            jsonb COMPRESSION lz4,
    revision        text,
    keep_seconds    bigint,
    fired           jsonb,
    failed          jsonb,
    discarded_by    text,
    held            jsonb,
    joined          jsonb,
    claim           bigint NOT NULL,
    partition       int NOT NULL,
    "offset"        bigint NOT NULL
);
CREATE INDEX decisions_series ON decisions (study, series);
CREATE INDEX decisions_held ON decisions (study) WHERE jsonb_array_length(held) > 0;
CREATE INDEX decisions_pending ON decisions (decided_at) WHERE members_at IS NULL;

-- What a decision covers. position: in the manifest for members, in its own list for the others.
CREATE TABLE members (
    decision text NOT NULL,
    role     member_role NOT NULL,
    position int NOT NULL,
    receipt  text,
    sop      text,
    of       int, -- duplicate, superseded: the member that stands for it
    PRIMARY KEY (decision, role, position)
);
CREATE INDEX members_receipt ON members (receipt);

CREATE TABLE void_choices (
    topic        text NOT NULL,
    partition    int NOT NULL,
    "offset"     bigint NOT NULL,
    type         text NOT NULL,
    id           text NOT NULL, -- decision, task or delivery
    claim        bigint NOT NULL,
    newest_claim bigint NOT NULL,
    at           timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);

CREATE TABLE tasks (
    task         text PRIMARY KEY,
    state        task_state NOT NULL,
    parent       text,
    decision     text,
    rule         text,
    study        text,
    series       text,
    revision     text,
    manifest_key text,
    steps        jsonb,
    asked_at     timestamptz,
    requested_at timestamptz,
    started_at   timestamptz, -- of the newest attempt
    heartbeat_at timestamptz,
    finished_at  timestamptz,
    attempt      bigint,
    owner        text,
    reason       text,
    result_key   text,
    keep_seconds bigint,
    dismissed_at timestamptz
);
CREATE INDEX tasks_study ON tasks (study);
CREATE INDEX tasks_decision ON tasks (decision);
CREATE INDEX tasks_parent ON tasks (parent) WHERE parent IS NOT NULL;
CREATE INDEX tasks_open ON tasks (asked_at) WHERE state < 'succeeded';
CREATE INDEX tasks_failed ON tasks (finished_at) WHERE state IN ('failed', 'expired');

CREATE TABLE deliveries (
    delivery      text PRIMARY KEY,
    state         delivery_state NOT NULL,
    parent        text,
    decision      text,
    task          text,
    target        text,
    study         text,
    series        text,
    revision      text,
    manifest_key  text,
    members       bigint,
    rules         text, -- comma-separated
    priority      text,
    asked_at      timestamptz,
    requested_at  timestamptz,
    attempted_at  timestamptz, -- end of the newest attempt
    attempts      bigint NOT NULL DEFAULT 0,
    open_members  bigint,
    next_due      timestamptz,
    attempt_reason text,
    finished_at   timestamptz,
    reason        text,
    delivered     bigint,
    repeated      bigint,
    not_accepted  bigint,
    failed        bigint,
    cancelled     bigint,
    dismissed_at  timestamptz
);
CREATE INDEX deliveries_study ON deliveries (study, series);
CREATE INDEX deliveries_decision ON deliveries (decision);
CREATE INDEX deliveries_target ON deliveries (target, asked_at DESC);
CREATE INDEX deliveries_latest ON deliveries (asked_at DESC, delivery DESC);
CREATE INDEX deliveries_parent ON deliveries (parent) WHERE parent IS NOT NULL;
CREATE INDEX deliveries_open ON deliveries (target, asked_at) WHERE state < 'delivered';
CREATE INDEX deliveries_failed ON deliveries (finished_at) WHERE state IN ('failed', 'expired');

-- Only positions of which something was heard; the rest of `members` is open.
CREATE TABLE delivery_members (
    delivery text NOT NULL,
    position int NOT NULL,
    state    member_state NOT NULL,
    attempt  bigint NOT NULL,
    status   bigint,
    reason   text,
    at       timestamptz,
    PRIMARY KEY (delivery, position)
);

-- What a sender counted (association.ended), one row per series.
CREATE TABLE associations (
    association text NOT NULL,
    study       text NOT NULL,
    series      text NOT NULL,
    source      text,
    outcome     association_outcome NOT NULL,
    answered    bigint NOT NULL,
    ended_at    timestamptz NOT NULL,
    PRIMARY KEY (association, study, series)
);
CREATE INDEX associations_study ON associations (study, series);

CREATE TABLE events (
    seq       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id        text NOT NULL UNIQUE,
    type      text NOT NULL,
    subject   text,
    source    text,
    at        timestamptz NOT NULL, -- log time
    body      jsonb NOT NULL
);
CREATE INDEX events_at ON events (at);

-- Records that a stage could not work (topic dlq).
CREATE TABLE rejected (
    topic     text NOT NULL,
    partition int NOT NULL,
    "offset"  bigint NOT NULL,
    stage     text NOT NULL,
    claim     bigint,
    study     text,
    error     text,
    attempts  bigint,
    at        timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, "offset", stage)
);
CREATE INDEX rejected_study ON rejected (study);

-- What people are shown: a failed parent whose child is open or ended well is superseded.
CREATE VIEW delivery_status AS
    SELECT d.*,
           CASE WHEN d.state IN ('failed', 'cancelled', 'expired')
                     AND EXISTS (SELECT FROM deliveries c WHERE c.parent = d.delivery
                                 AND c.state NOT IN ('failed', 'cancelled', 'expired'))
                THEN 'superseded' ELSE d.state::text END AS status
    FROM deliveries d;
CREATE VIEW task_status AS
    SELECT t.*,
           CASE WHEN t.state IN ('failed', 'cancelled', 'expired')
                     AND EXISTS (SELECT FROM tasks c WHERE c.parent = t.task
                                 AND c.state NOT IN ('failed', 'cancelled', 'expired'))
                THEN 'superseded' ELSE t.state::text END AS status
    FROM tasks t;

-- One word for a study. The first that applies, worst first.
CREATE FUNCTION study_state(s text) RETURNS text LANGUAGE sql STABLE COST 10000 AS $$
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
        WHEN EXISTS (SELECT FROM decisions d WHERE d.study = s
                     AND jsonb_array_length(d.held) > 0) THEN 'held'
        WHEN EXISTS (SELECT FROM deliveries d WHERE d.study = s AND d.state = 'delivered')
            THEN 'delivered'
        WHEN EXISTS (SELECT FROM decisions d WHERE d.study = s AND d.discarded_by IS NULL)
            THEN 'done'
        ELSE 'discarded' END
$$;

-- The configuration: every revision, and the one that counts. published: the pointer record in
-- Kafka is acknowledged.
CREATE TABLE config_revisions (
    number    bigint PRIMARY KEY,
    revision  text NOT NULL UNIQUE,
    document  text NOT NULL,
    sha256    text NOT NULL,
    by_user   text NOT NULL,
    why       text NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    published boolean NOT NULL DEFAULT false
);
CREATE TABLE config_current (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    number   bigint NOT NULL,
    revision text NOT NULL
);
INSERT INTO config_current (number, revision) VALUES (0, '0');
