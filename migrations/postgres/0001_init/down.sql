drop table anio_plans;
drop table anio_workers;
drop table anio_attempts;
drop table anio_runs;
