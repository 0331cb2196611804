//! A codec whose answers are already serialized: one view is encoded once for all its subscribers.

use bytes::{BufMut, Bytes};
use prost::Message;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::ProstDecoder;

/// Decodes requests of type `R`; sends bytes as they are.
pub(super) struct Serialized<R>(PhantomData<R>);

impl<R> Default for Serialized<R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<R: Message + Default + Send + 'static> Codec for Serialized<R> {
    type Encode = Bytes;
    type Decode = R;
    type Encoder = AsIs;
    type Decoder = ProstDecoder<R>;

    fn encoder(&mut self) -> AsIs {
        AsIs
    }

    fn decoder(&mut self) -> ProstDecoder<R> {
        ProstDecoder::default()
    }
}

/// Copies bytes that are a message already.
pub(super) struct AsIs;

impl Encoder for AsIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}
