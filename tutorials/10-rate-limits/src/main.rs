//! Sixty stations are asked for their weather, first as fast as possible and then at the rate that the
//! service allows; and a load test shows what the service bears.

mod service;

use std::error::Error;
use std::sync::Arc;

use anio::parallel::LoadTest;
use anio::parallel::load::Report;
use anio::prelude::*;

use service::{Limits, Service, ServiceError};

// region: tasks
#[workflow]
mod forecast {
    use std::sync::Arc;

    use anio::parallel::queue::{Fifo, Priority, RateLimited, Runner, WorkQueue};
    use anio::prelude::*;

    use super::service::{Limits, Service};
    use super::{Answers, Station};

    #[task]
    pub async fn stations() -> Result<Vec<Station>> {
        let station = |n: u32| Station { name: format!("KX{n:02}"), storm_warning: n > 58 };
        Ok((1..=60).map(station).collect())
    }

    /// Eight ask as fast as they can.
    #[task]
    pub async fn hasty(stations: Vec<Station>) -> Result<Answers> {
        let service = Arc::new(Service::new(Limits::Enforced));
        let mut answers = Answers::default();
        Runner::new(Fifo::new(10))
            .items(stations)
            .execute(8, move |station| {
                let service = Arc::clone(&service);
                async move { service.temperature(&station.name).await }
            })
            .handle(|temperature| answers.note(temperature))
            .run()
            .await
            .ok()?;
        Ok(answers)
    }

    /// The same eight, over a queue that gives out 80 stations a second, and those with a warning first.
    #[task(after(hasty))]
    pub async fn patient(stations: Vec<Station>) -> Result<Answers> {
        let service = Arc::new(Service::new(Limits::Enforced));
        let asked = Arc::clone(&service);
        let mut answers = Answers::default();
        let urgent_first = Priority::by_key(60, |station: &Station| station.storm_warning);
        let queue = RateLimited::new(urgent_first, "80/s")?;
        for station in stations {
            queue.push(station).await?;
        }
        queue.close();
        Runner::new(queue)
            .execute(8, move |station| {
                let service = Arc::clone(&service);
                async move { service.temperature(&station.name).await }
            })
            .handle(|temperature| answers.note(temperature))
            .run()
            .await
            .ok()?;
        answers.first_half = asked.asked().into_iter().take(30).collect();
        Ok(answers)
    }
}
// endregion

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Station {
    name: String,
    storm_warning: bool,
}

// region: answers
/// What came of the requests of a task.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Answers {
    n_answered: u32,
    n_refused: u32,
    /// The thirty stations that the service was asked for first.
    first_half: Vec<String>,
}

impl Answers {
    fn note(&mut self, temperature: Result<i32, anio::parallel::Error>) {
        match temperature {
            Ok(_) => self.n_answered += 1,
            Err(error) if error.cause::<ServiceError>().is_some() => self.n_refused += 1,
            Err(error) => eprintln!("{error}"),
        }
    }
}
// endregion

// region: load
/// Asks the service at a constant rate, whatever it answers.
async fn load_test(service: Service, rate: &str) -> Result<Report, anio::parallel::Error> {
    let service = Arc::new(service);
    let target = move || {
        let service = Arc::clone(&service);
        async move { service.temperature("KX01").await }
    };
    let report =
        LoadTest::new(target).rate(rate).concurrency(64).warm_up("200ms").duration("1s").run().await?;
    eprintln!("{report}\n{}", report.histogram());
    Ok(report)
}
// endregion

// region: main
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let database = directory.path().join("forecast.db");
    let engine = Engine::open(format!("sqlite://{}", database.display())).await?;
    let run = engine.submit(forecast::workflow(), ()).await?;
    let outcome = tutorial_progress::watched(&run).await?.ok()?;

    let hasty: Answers = outcome.output_of("hasty")?;
    println!("hasty:   some were refused: {}", hasty.n_refused > 0);
    let patient: Answers = outcome.output_of("patient")?;
    println!("patient: {} answered, {} refused", patient.n_answered, patient.n_refused);
    let came_early = |station: &str| patient.first_half.iter().any(|early| early == station);
    println!("patient: 59 and 60, with a warning, came early: {}", came_early("KX59") && came_early("KX60"));
    engine.shutdown().await?;

    println!("\nrate    limits    errors                      lagged");
    for (rate, limits, name) in [
        ("20/s", Limits::Enforced, "enforced"),
        ("200/s", Limits::Enforced, "enforced"),
        ("5000/s", Limits::Lifted, "lifted"),
    ] {
        let report = load_test(Service::new(limits), rate).await?;
        let errors: Vec<&str> = report.errors.keys().map(String::as_str).collect();
        let lagged = if report.lagged.is_some() { "yes" } else { "no" };
        let errors = if errors.is_empty() { "none".to_owned() } else { errors.join(", ") };
        println!("{rate:6}  {name:8}  {errors:26}  {lagged}");
    }
    Ok(())
}
// endregion
