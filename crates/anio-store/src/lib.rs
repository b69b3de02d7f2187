//! anio-store
