//! What waits for a rate that all workers share.

use super::*;

/// What a worker asks the database for: of which resource, and how many.
fn asked(bench: &mut Bench, n_free: usize) -> Vec<(String, u32)> {
    let reservations = bench.limits.reservations([n_free; 2]);
    reservations.into_iter().map(|(_, reservation)| (reservation.name, reservation.n)).collect()
}

impl Bench {
    fn shared(rates: &[(&str, &str)], resources: &[(&str, u32)]) -> Self {
        let mut bench = Self::new(resources, &[]);
        let rates = rates.iter().map(|(name, rate)| ((*name).to_owned(), rate.parse().unwrap()));
        let resources = resources.iter().map(|(name, units)| ((*name).to_owned(), *units));
        let (resources, shared_resource_rates) = (resources.collect(), rates.collect());
        bench.limits = Limits::new(&Config { resources, shared_resource_rates, ..Config::default() });
        bench.limits.look_at(bench.start);
        bench
    }

    /// So many of a resource may start, so many milliseconds after the beginning.
    fn grant(&mut self, name: &str, n: u32, ms: u64) {
        let at = self.start + Duration::from_millis(ms);
        let resource = self.limits.resources.iter().position(|resource| resource.name == name).unwrap();
        self.limits.reserved(resource, Answer::Granted(n, at));
    }
}

#[test]
fn nobody_starts_before_the_turn_that_was_reserved_and_the_next_is_asked_for_then() {
    let mut bench = Bench::shared(&[("api", "100/s")], &[]);
    assert_eq!(asked(&mut bench, 9), [], "nobody waits");
    for _ in 0..9 {
        bench.come(&[("api", 1)]);
    }
    assert_eq!(bench.started(), NOBODY);
    assert_eq!(asked(&mut bench, 9), [("api".to_owned(), 5)], "no more than start within 50 ms");
    assert_eq!(bench.started(), NOBODY);
    assert_eq!(asked(&mut bench, 9), [], "the answer is on its way");
    assert_eq!(bench.opens_ms(), None);
    bench.grant("api", 5, 20);
    assert_eq!(bench.started(), NOBODY);
    assert_eq!(bench.opens_ms(), Some(20));
    bench.wait_until(20);
    assert_eq!(bench.started(), [0, 1, 2, 3, 4]);
    assert_eq!(asked(&mut bench, 2), [("api".to_owned(), 2)], "no more than have a slot");
}

#[test]
fn one_that_is_refused_is_asked_for_again_when_it_was_told_to() {
    let mut bench = Bench::shared(&[("api", "1/h")], &[]);
    bench.come(&[("api", 1)]);
    assert_eq!(bench.started(), NOBODY);
    assert_eq!(asked(&mut bench, 1).len(), 1);
    bench.limits.reserved(0, Answer::AskAgain(bench.start + Duration::from_millis(70)));
    assert_eq!(bench.started(), NOBODY);
    assert_eq!(bench.opens_ms(), Some(70));
    assert_eq!(asked(&mut bench, 1), []);
    bench.wait_until(70);
    assert_eq!(bench.started(), NOBODY);
    assert_eq!(asked(&mut bench, 1), [("api".to_owned(), 1)]);
}

#[test]
fn no_turn_is_asked_for_by_one_who_lacks_units_and_one_is_asked_for_where_no_slot_is_left() {
    let mut bench = Bench::shared(&[("api", "100/s")], &[("api", 2), ("gpu", 1)]);
    bench.come(&[("api", 1), ("gpu", 1)]);
    bench.come(&[("api", 1), ("gpu", 1)]);
    assert_eq!(bench.started(), NOBODY);
    assert_eq!(asked(&mut bench, 9), [("api".to_owned(), 1)], "there is one gpu");
    bench.grant("api", 1, 0);
    assert_eq!(bench.started(), [0]);
    assert_eq!(asked(&mut bench, 9), []);
    bench.limits.leave(&demand(&bench.limits, &[("api", 1), ("gpu", 1)]));
    assert_eq!(bench.started(), NOBODY);
    assert_eq!(asked(&mut bench, 0), [("api".to_owned(), 1)]);
}

#[test]
fn who_comes_late_with_several_turns_has_one_and_who_comes_after_all_are_gone_has_none() {
    let mut bench = Bench::shared(&[("api", "100/s")], &[]);
    for _ in 0..5 {
        bench.come(&[("api", 1)]);
    }
    assert_eq!(bench.started(), NOBODY);
    asked(&mut bench, 5);
    bench.grant("api", 5, 0);
    bench.wait_until(50);
    let first = bench.limits.first(Lane::Async).map(|(ready, _)| ready.turn);
    assert_eq!(first, Some(0));
    bench.wait_until(51);
    assert_eq!(bench.started(), [0]);
    asked(&mut bench, 5);
    bench.grant("api", 4, 60);
    bench.limits.clear();
    bench.wait_until(200);
    bench.come(&[("api", 1)]);
    assert_eq!(bench.started(), NOBODY);
    assert_eq!(asked(&mut bench, 5).len(), 1);
}

#[test]
fn the_turn_of_a_slow_rate_is_kept_while_that_of_a_fast_one_is_asked_for() {
    let mut bench = Bench::shared(&[("api", "100/s"), ("tenant", "1/min")], &[]);
    // As the limits order them: the slowest first.
    bench.come(&[("tenant", 1), ("api", 1)]);
    assert_eq!(bench.started(), NOBODY);
    assert_eq!(asked(&mut bench, 9), [("tenant".to_owned(), 1)], "or the other would be late");
    bench.grant("tenant", 1, 1000);
    bench.wait_until(1000);
    assert_eq!(bench.started(), NOBODY);
    assert_eq!(asked(&mut bench, 9), [("api".to_owned(), 1)]);
    bench.grant("api", 1, 3000);
    let alone = bench.come(&[("api", 1)]);
    bench.wait_until(3000);
    assert_eq!(bench.started(), [0]);
    assert_eq!(asked(&mut bench, 9), [("api".to_owned(), 1)]);
    bench.grant("api", 1, 3000);
    assert_eq!(bench.started(), [alone]);
}

#[test]
fn no_turn_is_asked_for_on_a_lane_without_a_slot() {
    let mut bench = Bench::shared(&[("api", "100/s")], &[]);
    let cpu = Demand { is_cpu: true, ..demand(&bench.limits, &[("api", 1)]) };
    bench.come_with(cpu, 0);
    // Nobody asks who is next on the other lane: it is full.
    assert_eq!(bench.started(), NOBODY);
    assert_eq!(asked(&mut bench, 9), []);
    assert!(bench.start_all(Lane::Cpu).is_empty());
    assert_eq!(asked(&mut bench, 9), [("api".to_owned(), 1)]);
}
