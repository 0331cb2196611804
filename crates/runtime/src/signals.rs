//! Unix signals: SIGTERM and SIGINT stop, SIGUSR2 reopens the log file. A second SIGTERM or
//! SIGINT while draining leaves at once.

use rustix::process::{Pid, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use std::fs::File;
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

/// The signals that a program passes on to the command it runs.
#[derive(Debug)]
pub struct Passed(Vec<(rustix::process::Signal, Signal)>);

impl Passed {
    /// Starts to listen; from now on the default actions are off. Must be called in a runtime.
    pub fn listen() -> io::Result<Self> {
        use rustix::process::Signal as S;
        let kinds = [
            (S::TERM, SignalKind::terminate()),
            (S::INT, SignalKind::interrupt()),
            (S::HUP, SignalKind::hangup()),
            (S::QUIT, SignalKind::quit()),
            (S::USR1, SignalKind::user_defined1()),
            (S::USR2, SignalKind::user_defined2()),
        ];
        let listening = kinds
            .into_iter()
            .map(|(number, kind)| Ok((number, signal(kind)?)));
        listening.collect::<io::Result<_>>().map(Self)
    }

    /// The number of the next signal.
    pub async fn next(&mut self) -> i32 {
        std::future::poll_fn(|context| {
            let came = self.0.iter_mut().find_map(|(number, signal)| {
                signal.poll_recv(context).is_ready().then_some(number)
            });
            match came {
                Some(number) => std::task::Poll::Ready(number.as_raw()),
                None => std::task::Poll::Pending,
            }
        })
        .await
    }
}

/// Whether the terminal sent this signal, and so to each process of its foreground group: one that runs
/// a command in its own group must not pass it on a second time.
pub fn is_of_terminal(signal: i32) -> bool {
    use rustix::process::Signal as S;
    let by_key = [S::INT, S::QUIT].map(S::as_raw).contains(&signal);
    by_key && is_in_foreground().unwrap_or(false)
}

fn is_in_foreground() -> io::Result<bool> {
    let terminal = File::open("/dev/tty")?;
    Ok(tcgetpgrp(&terminal)? == getpgrp())
}

/// Sends a signal to a process. One that has ended does not mind.
pub fn send(process: u32, signal: i32) {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    let signal = rustix::process::Signal::from_named_raw(signal);
    if let (Some(process), Some(signal)) = (process, signal) {
        let _ended = kill_process(process, signal);
    }
}
