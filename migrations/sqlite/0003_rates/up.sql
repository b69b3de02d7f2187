-- The rates that all workers of the database share, one row each.
create table anio_rates (
    name text    not null primary key,
    tat  integer not null                        -- when the next start would be due if all came evenly spread
) without rowid;
