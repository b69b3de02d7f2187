//! Sends the spans of a run to a receiver of OTLP over HTTP, such as Jaeger or a collector:
//! `OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 cargo run -p examples --bin otlp`.

use std::error::Error;

use anio::prelude::*;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

#[workflow]
mod album {
    use anio::parallel::prelude::*;
    use anio::prelude::*;

    #[task]
    pub async fn pictures(n_pictures: Input<u32>) -> Result<Vec<u32>> {
        Ok((1..=*n_pictures).collect())
    }

    /// A span for each picture, below that of the task's attempt, on whichever thread.
    #[task]
    pub fn pixels(pictures: &Vec<u32>) -> Result<Vec<u32>> {
        Ok(pictures.par_map(|side| side * side)?)
    }

    #[task]
    pub async fn total(pixels: Vec<u32>) -> Result<u32> {
        Ok(pixels.iter().sum())
    }
}

/// The endpoint is that of the environment, by default port 4318 of this machine.
fn send_spans() -> Result<SdkTracerProvider, Box<dyn Error>> {
    let exporter = SpanExporter::builder().with_http().build()?;
    let resource = Resource::builder().with_service_name("album").build();
    let provider = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("album"));
    // The exporter's HTTP client has spans of its own; those would be sent, too.
    let filter = EnvFilter::new("off,anio=info,anio_scheduler=info,anio_parallel=info");
    tracing_subscriber::registry().with(filter).with(layer).try_init()?;
    Ok(provider)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let provider = send_spans()?;
    let directory = tempfile::tempdir()?;
    let database = format!("sqlite://{}", directory.path().join("album.db").display());
    let engine = Engine::open(database).await?;
    let outcome = engine.run(album::workflow(), 8_u32).await?.ok()?;
    println!("{} pixels", outcome.output::<album::total>()?);
    engine.shutdown().await?;
    // What the batch still holds is sent now. Tracing is no reason to fail.
    let sent = tokio::task::spawn_blocking(move || provider.shutdown()).await?;
    if let Err(error) = sent {
        eprintln!("the spans were not sent: {error}");
    }
    Ok(())
}

// Output:
// 204 pixels
