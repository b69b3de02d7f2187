use anio::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Offer {
    price: u64,
}

#[derive(Clone, Default)]
pub struct Cheapest {
    n_seen: usize,
    price: Option<u64>,
}

fn is_enough(sum: &mut u64, square: &u64) -> ControlFlow<()> {
    *sum += square;
    if *sum > 1000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

mod rules {
    use super::*;

    pub(super) fn three_seen(cheapest: &mut Cheapest, offer: &Offer) -> ControlFlow<()> {
        cheapest.n_seen += 1;
        cheapest.price = cheapest.price.into_iter().chain([offer.price]).min();
        if cheapest.n_seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn the_first<T>(_seen: &mut (), _any: &T) -> std::ops::ControlFlow<()> {
    std::ops::ControlFlow::Break(())
}

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn numbers() -> Result<Vec<u64>> {
        Ok((1..=100).collect())
    }

    #[task(until = is_enough, concurrency = 4)]
    pub fn squares(numbers: Each<u64>) -> Result<u64> {
        Ok(*numbers * *numbers)
    }

    #[task(until = super::rules::three_seen, retry(attempts = 2), when = succeeded(numbers))]
    pub async fn offers(numbers: Each<&u64>) -> Result<Offer> {
        Ok(Offer { price: **numbers })
    }

    #[task(until = the_first)]
    pub fn first(numbers: Each<u64>, offers: Vec<Offer>) -> Result<String> {
        Ok(format!("{} of {}", *numbers, offers.len()))
    }
}

fn main() {
    let workflow = flow::workflow();
    let ends = |task| workflow.plan().task(task).definition.until.is_some();
    assert_eq!([0, 1, 2, 3].map(ends), [false, true, true, true]);
    assert!(is_enough(&mut 999, &2).is_break());
    assert!(rules::three_seen(&mut Cheapest::default(), &Offer { price: 3 }).is_continue());
}
