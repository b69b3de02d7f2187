-- The rates that all workers of the database share, one row each. Pages are left nearly empty, since a row is
-- updated many times a second.
create table anio_rates (
    name text   not null primary key,
    tat  bigint not null                         -- when the next start would be due if all came evenly spread
) with (fillfactor = 10);
