//! anio-macros
