//! Unix signals: SIGTERM and SIGINT stop, SIGUSR2 reopens the log file. A second SIGTERM or
//! SIGINT while draining leaves at once.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGUSR2: the log file was rotated away.
    ReopenLog,
}

/// The signals this program listens to.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    user2: Signal,
}

impl Signals {
    /// Starts to listen; from now on the default actions are off. Must be called in a runtime.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next request of the operator.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Stop,
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.user2.recv() => Request::ReopenLog,
        }
    }
}
