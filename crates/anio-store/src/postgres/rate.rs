//! Rates that all workers of the database share. The row of a rate is locked for one statement, and with nothing
//! else: who is stopped in the middle of a transaction holds up nobody's starts.

use anio_core::Timestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::NOW;
use super::connection::Connection;
use super::error::Inner;
use crate::rate::{Reservation, Reserved};

/// Relies on `anio_rates_pkey`. No row where too many are reserved already. `clock` is read once, before the row is
/// waited for: who held it meanwhile has moved `tat` on by all that was reserved.
const RESERVE: &str = "
with clock as materialized (
    select {now} as now
)
insert into anio_rates as rate (name, tat)
select $1, now + $2
from clock
on conflict (name) do update
set tat = greatest(rate.tat, (select now from clock)) + $2
where rate.tat - $3 <= (select now from clock) + $4
returning tat, (select now from clock) as began, {now} as now";

/// Looks how far ahead is reserved, and puts that right where it cannot be. No row where there is no such rate.
const LOOK: &str = "
update anio_rates
set tat = least(tat, {now} + $2)
where name = $1
returning tat, {now} as began, {now} as now";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    tat: i64,
    #[diesel(sql_type = BigInt)]
    began: i64,
    #[diesel(sql_type = BigInt)]
    now: i64,
}

/// Reserves starts: one statement, and a second where too many are reserved already.
pub(super) fn reserve(connection: &mut Connection, reservation: &Reservation) -> Result<Reserved, Inner> {
    let (step, slack, ahead) = (reservation.step(), reservation.slack(), reservation.ahead());
    let time = Timestamp::from_micros;
    // A turn without an answer means that the row was deleted in between.
    loop {
        let reserve = diesel::sql_query(RESERVE.replace("{now}", NOW))
            .bind::<Text, _>(&reservation.name)
            .bind::<BigInt, _>(step)
            .bind::<BigInt, _>(slack)
            .bind::<BigInt, _>(ahead);
        if let Some(Row { tat, began, now }) = reserve.get_result(connection).optional()? {
            let at = (tat - step - slack).max(began);
            return Ok(Reserved { is_granted: true, at: time(at), now: time(now) });
        }
        let look = diesel::sql_query(LOOK.replace("{now}", NOW))
            .bind::<Text, _>(&reservation.name)
            .bind::<BigInt, _>(reservation.ahead_max());
        if let Some(Row { tat, began, now }) = look.get_result(connection).optional()? {
            let at = (tat - slack - ahead).max(began);
            return Ok(Reserved { is_granted: false, at: time(at), now: time(now) });
        }
    }
}
