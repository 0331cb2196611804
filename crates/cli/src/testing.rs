//! A scripted program at the other end of the socket: for tests of commands, real on the wire.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use prost::Message;
use prost::bytes::{Buf, BufMut, Bytes};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http;
use tonic::server::Grpc;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::socket::connect;
use crate::{Answer, ClientCommand, Failure};

type Reply = dyn Fn(Bytes) -> Result<Vec<Bytes>, Status> + Send + Sync;

/// Answers the calls it was told of; all others are unimplemented.
#[derive(Clone, Default)]
pub struct Fake {
    replies: BTreeMap<&'static str, Arc<Reply>>,
}

impl Fake {
    /// A program that knows no call yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers the calls of one method, named as `/package.Service/Method`, with one message.
    #[must_use]
    pub fn on<Q, A>(
        self,
        method: &'static str,
        reply: impl Fn(Q) -> Result<A, Status> + Send + Sync + 'static,
    ) -> Self
    where
        Q: Message + Default,
        A: Message,
    {
        self.on_stream(method, move |request| {
            reply(request).map(|answer| vec![answer])
        })
    }

    /// Answers with a stream of messages, which then ends.
    #[must_use]
    pub fn on_stream<Q, A>(
        mut self,
        method: &'static str,
        reply: impl Fn(Q) -> Result<Vec<A>, Status> + Send + Sync + 'static,
    ) -> Self
    where
        Q: Message + Default,
        A: Message,
    {
        let reply = move |request: Bytes| {
            let request = Q::decode(request);
            let request = request.map_err(|error| Status::internal(error.to_string()))?;
            let answers = reply(request)?;
            Ok(answers
                .iter()
                .map(|answer| answer.encode_to_vec().into())
                .collect())
        };
        self.replies.insert(method, Arc::new(reply));
        self
    }

    /// Does the command against this program, over a socket of their own.
    ///
    /// # Errors
    /// Those of the command.
    ///
    /// # Panics
    /// When there can be no socket, or when it closes too early.
    pub async fn ask(&self, command: impl ClientCommand) -> Result<Answer, Failure> {
        let folder = tempfile::tempdir().expect("a folder for the socket");
        let path = folder.path().join("api.sock");
        let listener = UnixListener::bind(&path).expect("a new socket");
        let fake = self.clone();
        let service = tower::service_fn(move |request| fake.clone().serve(request));
        let serving =
            Server::builder().serve_with_incoming(service, UnixListenerStream::new(listener));
        let asking = async {
            let channel = connect(&path, "the fake").await?;
            command.run(channel).await
        };
        tokio::select! {
            result = asking => result,
            end = serving => panic!("the fake ended before the command: {end:?}"),
        }
    }

    async fn serve(self, request: http::Request<Body>) -> Result<http::Response<Body>, Infallible> {
        let method = request.uri().path().to_owned();
        let answer = tower::service_fn(move |request: Request<Bytes>| {
            let reply = self.replies.get(method.as_str()).cloned();
            async move {
                let reply = reply.ok_or_else(|| Status::unimplemented("not in the script"))?;
                let messages = reply(request.into_inner())?.into_iter().map(Ok);
                Ok::<_, Status>(Response::new(tokio_stream::iter(messages)))
            }
        });
        Ok(Grpc::new(Raw).server_streaming(answer, request).await)
    }
}

/// Messages as bytes, so that one service can answer all methods.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
