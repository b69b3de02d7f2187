//! anio-scheduler
