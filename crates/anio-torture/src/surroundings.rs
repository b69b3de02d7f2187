//! What a body finds around it: a process of a storm, or one of a simulation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anio_core::{Lane, RunId, Timestamp};
use async_trait::async_trait;

use crate::body::{mended, now};
use crate::diary::{Diary, Line};
use crate::settings::Settings;

/// What bodies and callbacks are written against.
#[async_trait]
pub trait Surroundings: Send + Sync + 'static {
    /// The time by the clock that all processes share.
    fn now(&self) -> Timestamp;

    /// As which process callbacks write.
    fn pid(&self) -> u32;

    /// A body begins; tells as which process it writes. One that is `pressed` has a time-out near it, and must
    /// not be kept waiting.
    async fn enter(&self, pressed: bool) -> u32;

    /// Lets time pass as bodies of this lane do.
    async fn pass_time(&self, lane: Lane, pace: Duration);

    /// Whether what failed for good in this run is mended.
    fn is_mended(&self, run: RunId) -> bool;

    /// Appends a line to the diary.
    fn write(&self, line: &Line);
}

/// A process of a storm.
#[derive(Debug)]
pub struct Process {
    settings: Settings,
    diary: Arc<Diary>,
}

impl Process {
    /// This process.
    pub fn around(settings: &Settings, diary: &Arc<Diary>) -> Arc<dyn Surroundings> {
        Arc::new(Self { settings: settings.clone(), diary: Arc::clone(diary) })
    }
}

#[async_trait]
impl Surroundings for Process {
    fn now(&self) -> Timestamp {
        now()
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    async fn enter(&self, _: bool) -> u32 {
        self.pid()
    }

    async fn pass_time(&self, lane: Lane, pace: Duration) {
        match lane {
            Lane::Async => tokio::time::sleep(pace).await,
            Lane::Cpu => {
                let begun = Instant::now();
                while begun.elapsed() < pace {
                    std::hint::spin_loop();
                }
            }
            Lane::Blocking => std::thread::sleep(pace),
        }
    }

    fn is_mended(&self, run: RunId) -> bool {
        mended(&self.settings, run).exists()
    }

    fn write(&self, line: &Line) {
        self.diary.write(line);
    }
}
