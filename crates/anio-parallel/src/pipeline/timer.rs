//! Sources that the clock gives: ticks, and one item after a time.

use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt, stream};
use tokio::time::MissedTickBehavior;

/// The resolution of tokio's clock.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// The numbers of the ticks, from 1: tick n is due n periods after the first poll.
pub(super) fn tick(period: Duration) -> impl Stream<Item = u64> + Send {
    let period = period.max(PERIOD_MIN);
    let ticks = async move {
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // The first is due at once; the others are counted from it.
        let started = interval.tick().await;
        stream::unfold(interval, move |mut interval| async move {
            let due = interval.tick().await;
            Some((number(due - started, period), interval))
        })
    };
    ticks.into_stream().flatten()
}

pub(super) fn after(delay: Duration) -> impl Stream<Item = ()> + Send {
    async move { tokio::time::sleep(delay).await }.into_stream()
}

/// Ticks are whole periods apart, whatever was missed between them.
fn number(since_start: Duration, period: Duration) -> u64 {
    u64::try_from(since_start.as_nanos() / period.as_nanos()).unwrap_or(u64::MAX)
}
