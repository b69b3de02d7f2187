//! anio
