//! Answers that go on: read line by line while the server writes them.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::HttpError;

/// The body of an answer that is read line by line. Dropping it closes the connection.
#[derive(Debug)]
pub struct Lines {
    host: String,
    body: Incoming,
    read: BytesMut,
    /// Bytes of `read` that are known to hold no end of a line.
    looked_at: usize,
    silence: Duration,
    longest: usize,
}

impl Lines {
    pub(crate) fn new(host: String, body: Incoming, silence: Duration, longest: usize) -> Self {
        Self {
            host,
            body,
            read: BytesMut::new(),
            looked_at: 0,
            silence,
            longest,
        }
    }

    /// The next line without its end; `None` when the answer is over. A last line without an end is
    /// half of one, and dropped. A call that is given up loses nothing.
    ///
    /// # Errors
    /// [`HttpError`] if the connection breaks, the server is silent for too long or the line too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            let unread = &self.read[self.looked_at..];
            if let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(self.looked_at + end).freeze();
                self.read.advance(1);
                self.looked_at = 0;
                return Ok(Some(line));
            }
            self.looked_at = self.read.len();
            if self.read.len() > self.longest {
                let (host, limit) = (self.host.clone(), self.longest);
                return Err(HttpError::TooLong { host, limit });
            }
            let frame = tokio::time::timeout(self.silence, self.body.frame()).await;
            let late = |_| HttpError::Late {
                host: self.host.clone(),
                limit: self.silence,
            };
            match frame.map_err(late)? {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                Some(Err(source)) => {
                    return Err(HttpError::Exchange {
                        host: self.host.clone(),
                        source: Box::new(source),
                    });
                }
            }
        }
    }
}
