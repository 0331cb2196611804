//! One key on the token, as a [`Signer`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use signet_crypto::{PublicKey, SignatureAlgorithm};
use signet_keys::{KeyError, Signer};

use crate::mechanism::Request;
use crate::token::{Access, Connected, Reached, Token};
use crate::version::Version;
use crate::{Pkcs11Error, objects};

/// A signature takes a token milliseconds, over a network some more; whoever waits for an SVID should
/// hear of a token that hangs before giving up.
const SIGN_LIMIT: Duration = Duration::from_secs(15);

/// A key pair on the token. It is bound to its version: a newer key of the same label is another one.
pub(crate) struct TokenSigner {
    token: Arc<Token>,
    key: Arc<Key>,
}

struct Key {
    label: String,
    version: Version,
    public_key: PublicKey,
    /// Where the private half was last, so that it is not looked for at each signature.
    handle: Mutex<Option<(Connected, ObjectHandle)>>,
}

impl TokenSigner {
    pub(crate) fn new(
        token: Arc<Token>,
        label: String,
        version: Version,
        public_key: PublicKey,
    ) -> Self {
        let key = Arc::new(Key {
            label,
            version,
            public_key,
            handle: Mutex::default(),
        });
        Self { token, key }
    }

    pub(crate) fn version(&self) -> Version {
        self.key.version
    }
}

#[async_trait]
impl Signer for TokenSigner {
    fn public_key(&self) -> &PublicKey {
        &self.key.public_key
    }

    async fn sign(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, KeyError> {
        let unsigned = |source| KeyError::Sign { source };
        let request = Request::new(&self.key.public_key, algorithm, message).map_err(unsigned)?;
        let request = Arc::new(request);
        let (key, asked) = (Arc::clone(&self.key), Arc::clone(&request));
        let sign = move |token: &Reached<'_>| key.sign(token, &asked);
        let given = self.token.run(SIGN_LIMIT, Access::Read, sign).await?;
        request.signature(given).map_err(unsigned)
    }
}

impl Key {
    fn sign(&self, token: &Reached<'_>, request: &Request) -> Result<Vec<u8>, Pkcs11Error> {
        if let Some(handle) = self.handle(token.connected) {
            match sign(token.session, handle, request) {
                Err(error) if error.is_stale_handle() => {}
                done => return done,
            }
        }
        let handle = objects::private_half(token, &self.label, self.version)?;
        let signature = sign(token.session, handle, request)?;
        self.remember(token.connected, handle);
        Ok(signature)
    }

    fn handle(&self, now: Connected) -> Option<ObjectHandle> {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        handle.and_then(|(connected, handle)| (connected == now).then_some(handle))
    }

    fn remember(&self, connected: Connected, handle: ObjectHandle) {
        let mut known = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((connected, handle));
    }
}

fn sign(session: &Session, key: ObjectHandle, request: &Request) -> Result<Vec<u8>, Pkcs11Error> {
    let signed = session.sign(&request.mechanism(), key, request.input());
    signed.map_err(Pkcs11Error::call("sign on the token"))
}
