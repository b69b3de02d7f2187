-- What Anio keeps, beside whatever else lives in the database: every table is named anio_*.
-- Times are microseconds since 1970-01-01T00:00:00Z. Values are json (not jsonb), which keeps the text as it
-- was written and still answers the json operators.
-- There are no foreign keys: the engine writes a run's rows in order, and each check would cost a look-up
-- per fact on the hot path.

-- One row per run; updated when a worker takes it and when it ends.
create table anio_runs (
    id            uuid    not null primary key,  -- UUIDv7: in the order of submission
    workflow      text    not null,
    plan          text    not null,              -- anio_plans.fingerprint
    status        text    not null,              -- queued running paused succeeded failed cancelled parked
    priority      integer not null,              -- among queued runs the higher goes first
    epoch         bigint  not null,              -- how often it was taken over or given back
    worker        uuid,                          -- anio_workers.id: who has it, or had it last
    submitted_at  bigint  not null,
    started_at    bigint,                        -- when a worker first had it
    finished_at   bigint,
    failure       json,                          -- why it failed
    parked_reason text,
    input         json    not null               -- last, because it may be long
);

-- The queue, in the order in which runs are claimed. The workflow is in it so that a claim finds the runs
-- of the workflows that a worker knows without reading the table.
create index anio_runs_queued on anio_runs (priority desc, id, workflow) where status = 'queued';

-- The runs of one worker: what is put back into the queue when it dies or lets go.
create index anio_runs_running on anio_runs (worker) where status = 'running';

-- The parked runs of one workflow: what goes on when that workflow is registered again.
create index anio_runs_parked on anio_runs (workflow) where status = 'parked';

-- One row per fact, appended and never updated. A run's state is what its facts add up to.
create table anio_attempts (
    seq        bigint  not null generated always as identity,  -- the order in which facts became durable
    run_id     uuid    not null,                 -- anio_runs.id
    task       text    not null,                 -- the task's name
    map_index  bigint,                           -- which element of a mapped task
    attempt    bigint  not null,                 -- from 1; 0 for 'expanded'
    kind       text    not null,                 -- started succeeded failed interrupted skipped expanded
    at         bigint  not null,                 -- when it happened
    started_at bigint,                           -- succeeded, failed, interrupted: when the attempt began
    retry_at   bigint,                           -- failed: when the next attempt is due; null for none
    width      bigint,                           -- expanded: how many elements
    failure    json,                             -- failed
    writes     json,                             -- succeeded: what it wrote into the context
    output     json,                             -- succeeded; last, because it may be long
    -- The facts of one run, in order. The only index: each further one costs an insertion per fact.
    constraint anio_attempts_run primary key (run_id, seq)
);

-- One row per lease. Every commit of a worker updates its row: that is the fence. Pages are left nearly
-- empty, so that a new version of the row finds place beside the old one and no index is touched.
create table anio_workers (
    id            uuid    not null primary key,
    name          text    not null,              -- for people: host and process
    registered_at bigint  not null,
    expires_at    bigint  not null,              -- the lease holds until then, unless it is renewed
    lost_at       bigint,                        -- when it was taken away or given back; null while it stands
    last_commit   bigint  not null,              -- the number of the worker's last durable commit; 0 for none
    session_lock  boolean not null               -- whether a session of its own holds the lock of its identity
) with (fillfactor = 10);

-- Every plan that a run was ever pinned to.
create table anio_plans (
    fingerprint text    not null primary key,    -- 32 hexadecimal digits
    workflow    text    not null,
    record      json    not null,                -- tasks, edges, types of outputs
    created_at  bigint  not null
);
