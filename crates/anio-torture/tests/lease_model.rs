//! The protocol of leases and takeovers, every state of it within small bounds; `cargo xtask torture model` goes as
//! far as one likes.

use anio_torture::lease::{self, Bounds, Finding, Plant};

fn explore(n_runs: usize, n_leases: u8, n_faults: u8, n_requests: u8) -> Finding {
    let bounds = Bounds { n_workers: 2, n_runs, n_leases, n_faults, n_requests };
    let finding = lease::explore(bounds, None, None);
    eprintln!("{bounds:?}: {} states, {} steps deep", finding.n_states, finding.depth);
    assert!(finding.broken.is_empty(), "{:#?}", finding.broken);
    finding
}

#[test]
fn leases_hold_every_rule_whatever_fails() {
    let finding = explore(1, 3, 1, 0);
    assert!(finding.missed.is_empty(), "never met: {:?}", finding.missed);
    assert!(finding.n_states > 100_000, "{} states: the model has lost most of its ways", finding.n_states);
}

#[test]
fn leases_hold_every_rule_for_two_runs() {
    explore(2, 2, 1, 0);
}

#[test]
fn leases_hold_every_rule_while_an_operator_asks_for_things() {
    explore(1, 2, 1, 1);
    explore(1, 3, 0, 2);
}

#[test]
fn each_mistake_in_the_protocol_is_found_under_its_rule() {
    for plant in Plant::ALL {
        let finding = lease::explore(plant.bounds(), Some(plant), Some(plant.breaks()));
        let rules: Vec<_> = finding.broken.iter().map(|(rule, _)| *rule).collect();
        eprintln!("{plant:?}: {rules:?} after {} states", finding.n_states);
        assert!(rules.contains(&plant.breaks()), "{plant:?} is not found: {rules:?}");
    }
}
