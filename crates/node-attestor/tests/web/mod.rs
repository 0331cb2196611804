//! A web server on this machine that answers as a test says, and remembers what it was asked.

#![allow(dead_code, reason = "each test program uses its part")]

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Method and path with its query.
    pub(crate) line: String,
    /// The headers, in lower case.
    pub(crate) headers: String,
    pub(crate) body: String,
}

/// How it is answered.
pub(crate) enum Answer {
    Ok(Vec<u8>),
    /// With a header.
    With(&'static str, Vec<u8>),
    Status(u16),
    Redirect(&'static str),
    /// A page for people.
    Html,
    /// Never.
    Hang,
}

pub(crate) struct Web {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Web {
    pub(crate) async fn new(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&asked));
        let serve = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                tokio::task::spawn_local(async move { one(stream, &*answer, &seen).await });
            }
        };
        tokio::task::spawn_local(serve);
        Self { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn host(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }
}

/// One request on each connection.
async fn one(mut stream: TcpStream, answer: &dyn Fn(&Asked) -> Answer, seen: &Mutex<Vec<Asked>>) {
    let Some(asked) = read(&mut stream).await else {
        return;
    };
    seen.lock().unwrap().push(asked.clone());
    let (status, header, body) = match answer(&asked) {
        Answer::Ok(body) => (200, String::new(), body),
        Answer::With(header, body) => (200, format!("{header}\r\n"), body),
        Answer::Status(status) => (status, String::new(), b"{}".to_vec()),
        Answer::Redirect(to) => (302, format!("location: {to}\r\n"), Vec::new()),
        Answer::Html => (
            200,
            "content-type: text/html\r\n".into(),
            b"<html>Sign in</html>".to_vec(),
        ),
        Answer::Hang => return std::future::pending().await,
    };
    let head = format!(
        "HTTP/1.1 {status} x\r\n{header}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&body).await;
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let end = loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let (line, headers) = head.split_once("\r\n")?;
    let headers = headers.to_ascii_lowercase();
    let length = headers
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |text| text.trim().parse().unwrap());
    while bytes.len() < end + 4 + length {
        stream.read_buf(&mut bytes).await.ok()?;
    }
    Some(Asked {
        line: in_origin_form(line.trim_end_matches(" HTTP/1.1")),
        headers,
        body: String::from_utf8(bytes[end + 4..].to_vec()).ok()?,
    })
}

/// Without the scheme and host that a client writes for a proxy (RFC 9112 section 3.2.2).
fn in_origin_form(line: &str) -> String {
    let absolute = line.split_once(" http://");
    match absolute.and_then(|(method, rest)| Some((method, rest.find('/').map(|at| &rest[at..])?)))
    {
        Some((method, path)) => format!("{method} {path}"),
        None => line.to_owned(),
    }
}

/// Runs a test whose server lives on the same thread.
pub(crate) async fn local<T>(test: impl Future<Output = T>) -> T {
    tokio::task::LocalSet::new().run_until(test).await
}
