-- What Anio keeps, beside whatever else lives in the database: every table is named anio_*.
-- Times are microseconds since 1970-01-01T00:00:00Z, identities are UUIDs as text, values are JSON as text.
-- There are no foreign keys: the engine writes a run's rows in order, and each check would cost a look-up
-- per fact on the hot path.

-- One row per run; updated when a worker takes it and when it ends.
create table anio_runs (
    id            text    not null primary key,  -- UUIDv7: in the order of submission
    workflow      text    not null,
    plan          text    not null,              -- anio_plans.fingerprint
    status        text    not null,              -- queued running paused succeeded failed cancelled parked
    priority      integer not null,              -- among queued runs the higher goes first
    epoch         integer not null,              -- how often it was taken over or given back
    worker        text,                          -- anio_workers.id: who has it, or had it last
    submitted_at  integer not null,
    started_at    integer,                       -- when a worker first had it
    finished_at   integer,
    failure       text,                          -- JSON: why it failed
    parked_reason text,
    input         text    not null               -- JSON; last, because it may be long
) without rowid;                                 -- one tree in place of two: a run is found by its identity

-- The queue, in the order in which runs are claimed. The workflow is in it so that a claim finds the runs
-- of the workflows that a worker knows without reading the table.
create index anio_runs_queued on anio_runs (priority desc, id, workflow) where status = 'queued';

-- The runs of one worker: what is put back into the queue when it dies or lets go.
create index anio_runs_running on anio_runs (worker) where status = 'running';

-- The parked runs of one workflow: what goes on when that workflow is registered again.
create index anio_runs_parked on anio_runs (workflow) where status = 'parked';

-- One row per fact, appended and never updated. A run's state is what its facts add up to.
create table anio_attempts (
    seq        integer not null primary key,     -- the order in which facts became durable
    run_id     text    not null,                 -- anio_runs.id
    task       text    not null,                 -- the task's name
    map_index  integer,                          -- which element of a mapped task
    attempt    integer not null,                 -- from 1; 0 for 'expanded'
    kind       text    not null,                 -- started succeeded failed interrupted skipped expanded
    at         integer not null,                 -- when it happened
    started_at integer,                          -- succeeded, failed, interrupted: when the attempt began
    retry_at   integer,                          -- failed: when the next attempt is due; null for none
    width      integer,                          -- expanded: how many elements
    failure    text,                             -- failed: JSON
    writes     text,                             -- succeeded: JSON of what it wrote into the context
    output     text                              -- succeeded: JSON; last, because it may be long
);

-- The facts of one run, in order (an index of SQLite ends in the integer key).
create index anio_attempts_run on anio_attempts (run_id);

-- One row per lease. Every commit of a worker updates its row: that is the fence.
create table anio_workers (
    id            text    not null primary key,
    name          text    not null,              -- for people: host and process
    registered_at integer not null,
    expires_at    integer not null,              -- the lease holds until then, unless it is renewed
    lost_at       integer,                       -- when it was taken away or given back; null while it stands
    last_commit   integer not null               -- the number of the worker's last durable commit; 0 for none
);

-- Every plan that a run was ever pinned to.
create table anio_plans (
    fingerprint text    not null primary key,    -- 32 hexadecimal digits
    workflow    text    not null,
    record      text    not null,                -- JSON: tasks, edges, types of outputs
    created_at  integer not null
);
