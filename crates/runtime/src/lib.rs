//! Clock, tasks, stop signal, backoff, readiness and Unix signals: what a program needs to run,
//! and the only place that spawns tasks and reads the wall clock.

mod backoff;
mod clock;
pub mod process;
mod readiness;
pub mod signals;
mod tasks;

pub use backoff::Backoff;
pub use clock::{Clock, SystemClock, TokioClock};
pub use readiness::{Blocker, Readiness};
pub use tasks::{Stop, TaskFailed, Tasks};
