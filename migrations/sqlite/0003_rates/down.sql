drop table anio_rates;
