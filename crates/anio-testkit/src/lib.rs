//! anio-testkit
