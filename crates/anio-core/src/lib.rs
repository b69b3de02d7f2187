//! anio-core
