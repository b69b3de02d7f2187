-- What people ask of a run before and after it has begun: a key, a time, a deadline, tags; to pause, to cancel.

alter table anio_runs add column due_at integer;                    -- queued, but not to be claimed before; null once due
alter table anio_runs add column deadline integer;                  -- when the whole run is given up
alter table anio_runs add column idempotency_key text;              -- one run per workflow and key
alter table anio_runs add column tags text;                         -- JSON: a list of texts; null for none
alter table anio_runs add column traceparent text;                  -- W3C: the trace that the run belongs to
alter table anio_runs add column requested text;                    -- pause cancel: what its worker is to do with it
alter table anio_runs add column news integer not null default 0;   -- how often somebody else than its worker changed it

-- One run per workflow and key, also for two processes at once.
create unique index anio_runs_idempotency on anio_runs (workflow, idempotency_key)
    where idempotency_key is not null;

-- The runs that wait for their time, the next one first.
create index anio_runs_due on anio_runs (due_at) where due_at is not null;

-- The runs that a worker has to look at again.
create index anio_runs_news on anio_runs (worker) where status = 'running' and news > 0;

-- The runs of which a part is deleted already: what the next step of pruning goes on with.
create index anio_runs_pruning on anio_runs (id) where status = 'pruning';

-- The queue, without those that wait for their time. That due_at is null stands in the index once more, so that
-- SQLite walks it without reading the table.
drop index anio_runs_queued;
create index anio_runs_queued on anio_runs (priority desc, id, workflow, due_at)
    where status = 'queued' and due_at is null;

-- The runs of each tag: what a list by tag walks.
create table anio_tags (
    tag    text not null,
    run_id text not null,                        -- anio_runs.id
    primary key (tag, run_id)
) without rowid;
