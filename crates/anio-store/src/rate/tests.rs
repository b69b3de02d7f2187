use super::*;

const START: i64 = 1_000_000_000_000;

/// One rate, and a clock that a test sets.
struct Bench {
    reservation: Reservation,
    tat: Option<Timestamp>,
}

impl Bench {
    fn new(interval: Duration, burst: u32) -> Self {
        Self { reservation: Reservation { name: "api".to_owned(), n: 1, interval, burst }, tat: None }
    }

    /// Reserves so many, so many microseconds after the start: when they may start, or `Err`: when to ask again.
    fn reserve(&mut self, n: u32, at: i64) -> Result<i64, i64> {
        self.reservation.n = n;
        let (tat, reserved) = self.reservation.made(self.tat, Timestamp::from_micros(START + at));
        self.tat = Some(tat);
        let at = reserved.at.as_micros() - START;
        if reserved.is_granted { Ok(at) } else { Err(at) }
    }
}

#[test]
fn starts_are_an_interval_apart_whoever_reserves_them_and_however_late() {
    let mut bench = Bench::new(Duration::from_millis(100), 1);
    let starts = [0, 1, 2, 250_000, 300_001, 1_000_000].map(|at| bench.reserve(1, at));
    assert_eq!(starts, [0, 100_000, 200_000, 300_000, 400_000, 1_000_000].map(Ok));
}

#[test]
fn a_burst_comes_at_once_and_the_next_when_it_is_paid_for() {
    let mut bench = Bench::new(Duration::from_millis(1), 50);
    assert_eq!(bench.reserve(50, 0), Ok(0));
    assert_eq!(bench.reserve(50, 1_000), Ok(50_000));
    assert_eq!(bench.reserve(10, 1_000), Ok(60_000), "ten are paid for sooner than fifty");
    assert_eq!(bench.reserve(50, 10_000_000), Ok(10_000_000), "a long pause saves up no more than a burst");
    assert_eq!(bench.reserve(1, 10_000_000), Ok(10_001_000));
}

#[test]
fn an_interval_that_is_no_whole_number_of_microseconds_is_not_cut_short() {
    let mut bench = Bench::new(Duration::from_nanos(3_333), 15_000);
    assert_eq!(bench.reserve(15_000, 0), Ok(0));
    assert_eq!(bench.reserve(15_000, 0), Ok(49_995));
    let mut bench = Bench::new(Duration::from_nanos(1_500), 1);
    assert_eq!([0; 3].map(|at| bench.reserve(1, at)), [0, 2, 4].map(Ok));
}

#[test]
fn those_who_die_again_and_again_reserve_no_further_ahead_than_four_intervals() {
    let hour = 3_600_000_000;
    let mut bench = Bench::new(Duration::from_secs(3600), 1);
    let starts = [0, 1, 2, 3, 4].map(|at| bench.reserve(1, at));
    assert_eq!(starts, [0, hour, 2 * hour, 3 * hour, 4 * hour].map(Ok));
    assert_eq!(bench.reserve(1, 5), Err(hour), "and are told when to ask again");
    assert_eq!(bench.reserve(1, hour - 1), Err(hour));
    assert_eq!(bench.reserve(1, hour), Ok(5 * hour));
}

#[test]
fn a_clock_that_is_set_back_holds_nobody_up_for_longer_than_can_be_reserved() {
    let mut bench = Bench::new(Duration::from_millis(10), 5);
    assert_eq!(bench.reserve(5, 86_400_000_000), Ok(86_400_000_000));
    let Err(again) = bench.reserve(5, 0) else { panic!("so much may be reserved already") };
    assert!(again <= 50_000, "{again}");
    let Ok(starts) = bench.reserve(5, again) else { panic!("it was told when to ask again") };
    assert!(starts <= 10_100_000, "{starts}");
}

#[test]
fn a_faster_rate_of_the_same_name_is_not_held_up_by_a_slow_one() {
    let mut slow = Bench::new(Duration::from_secs(3600), 1);
    assert_eq!([0; 3].map(|at| slow.reserve(1, at)), [0, 3_600_000_000, 7_200_000_000].map(Ok));
    let mut fast = Bench { tat: slow.tat, ..Bench::new(Duration::from_millis(10), 5) };
    let Err(again) = fast.reserve(5, 1_000) else { panic!("the slow one has reserved far ahead") };
    assert!(fast.reserve(5, again).unwrap() <= again + 10_000_000);
}
