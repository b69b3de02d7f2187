//! `anio-torture [SUBCOMMAND] …`: what is done to Anio, by a subcommand each; without one, storms. Each prints its
//! figures in lines of JSON on standard output, and exits with 1 when something is wrong.
//!
//! The same program, called as `anio-torture worker <settings>`, is the worker that is killed.

use std::process::ExitCode;

use anio_torture::command::tell;
use anio_torture::{Result, disk, lease, log, net, page, plants, points, simulate, storm, worker};
use clap::{Parser, Subcommand};

/// Does its worst to Anio, and checks what comes of it
#[derive(Debug, Parser)]
#[command(name = "anio-torture", args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    sub: Option<Sub>,
    #[command(flatten)]
    storm: storm::Command,
}

#[derive(Debug, Subcommand)]
enum Sub {
    Storm(storm::Command),
    Net(net::Command),
    Model(lease::Command),
    Disk(disk::Command),
    Points(points::Command),
    Plants(plants::Command),
    Simulate(simulate::Command),
    /// Shows what is recorded, as the tables of docs/reliability.md
    Figures(page::Figures),
    /// Is a worker, to be killed
    #[command(hide = true)]
    Worker {
        settings: String,
    },
    /// Is a process that passes the points
    #[command(hide = true)]
    Script {
        orders: String,
    },
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    match args.sub {
        Some(Sub::Storm(command)) => command.run(),
        Some(Sub::Net(command)) => command.run(),
        Some(Sub::Model(command)) => command.run(),
        Some(Sub::Disk(command)) => command.run(),
        Some(Sub::Points(command)) => command.run(),
        Some(Sub::Plants(command)) => command.run(),
        Some(Sub::Script { orders }) => play(&orders),
        Some(Sub::Simulate(command)) => command.run(),
        Some(Sub::Figures(command)) => command.run(),
        Some(Sub::Worker { settings }) => work(&settings),
        None => args.storm.run(),
    }
}

fn work(settings: &str) -> Result<ExitCode> {
    trace();
    let worked = tokio::runtime::Runtime::new()?.block_on(worker::run(serde_json::from_str(settings)?));
    Ok(match worked {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("Error: {error}"));
            ExitCode::FAILURE
        }
    })
}

fn play(orders: &str) -> Result<ExitCode> {
    trace();
    tokio::runtime::Runtime::new()?.block_on(points::script::run(serde_json::from_str(orders)?))?;
    Ok(ExitCode::SUCCESS)
}

fn trace() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(|| log::Signed)
        .with_ansi(false)
        .init();
}
