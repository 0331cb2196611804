//! Clock, tasks, stop signal, backoff, readiness and Unix signals.
