//! Rates that all workers of the file share.

use anio_core::Timestamp;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::error::Failure;
use super::now;
use super::schema::anio_rates;
use crate::rate::{Reservation, Reserved};

/// Reserves starts. The caller holds the write lock, so nobody reserves between the two statements.
pub(super) fn reserve(
    connection: &mut SqliteConnection,
    reservation: &Reservation,
) -> Result<Reserved, Failure> {
    let tat: Option<i64> =
        anio_rates::table.find(&reservation.name).select(anio_rates::tat).first(connection).optional()?;
    let (tat, reserved) = reservation.made(tat.map(Timestamp::from_micros), now());
    diesel::replace_into(anio_rates::table)
        .values((anio_rates::name.eq(&reservation.name), anio_rates::tat.eq(tat.as_micros())))
        .execute(connection)?;
    Ok(reserved)
}
