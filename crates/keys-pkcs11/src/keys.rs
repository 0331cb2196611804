//! The key manager itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use signet_crypto::{KeyType, PublicKey, SystemRandom};
use signet_keys::{KeyError, KeyManager, Signer};

use crate::objects::{self, Found};
use crate::signer::TokenSigner;
use crate::token::{Access, Reached, Token};
use crate::version::Version;
use crate::{Identifier, Pin, Pkcs11Error, TokenName};

/// Looking for a key; also the login at the start.
const FIND_LIMIT: Duration = Duration::from_secs(30);

/// A small token takes a minute or two for an RSA key of 4096 bits.
const GENERATE_LIMIT: Duration = Duration::from_secs(300);

/// Which token, and which keys on it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `module_path`: the shared library of the token's maker.
    pub module_path: PathBuf,
    /// `token_label` or `slot_id`.
    pub token: TokenName,
    /// `pin` or `pin_path`.
    pub pin: Pin,
    /// What tells these keys from those of other servers on the same token.
    pub identifier: Identifier,
}

/// The `pkcs11` key manager.
pub struct Pkcs11Keys {
    token: Arc<Token>,
    identifier: Identifier,
    /// The signers handed out last, so that each keeps what it knows of its key.
    signers: Mutex<BTreeMap<String, Arc<TokenSigner>>>,
    /// Keys are made one after the other: each must be newer than those before.
    making: tokio::sync::Mutex<()>,
}

/// A key as it was read from the token.
struct Read {
    version: Version,
    public_key: PublicKey,
}

impl Pkcs11Keys {
    /// Loads the module and logs in to the token.
    ///
    /// # Errors
    /// [`Pkcs11Error`] names what is missing or wrong, and the remedy.
    pub async fn open(settings: Settings) -> Result<Self, Pkcs11Error> {
        let opened = tokio::task::spawn_blocking(move || {
            let pin = settings.pin.read()?;
            let token = Token::new(&settings.module_path, settings.token, pin)?;
            Ok((Arc::new(token), settings.identifier))
        });
        let (token, identifier) = opened.await.unwrap_or(Err(Pkcs11Error::Stopped))?;
        token.run(FIND_LIMIT, Access::Read, |_| Ok(())).await?;
        Ok(Self {
            token,
            identifier,
            signers: Mutex::default(),
            making: tokio::sync::Mutex::default(),
        })
    }

    /// The signer of what was read: the one from before if it is still the same key.
    fn signer(&self, id: &str, read: Read) -> Arc<TokenSigner> {
        let mut signers = self.signers();
        if let Some(known) = signers
            .get(id)
            .filter(|known| known.version() == read.version)
        {
            return Arc::clone(known);
        }
        let label = self.identifier.label(id);
        let token = Arc::clone(&self.token);
        let signer = TokenSigner::new(token, label, read.version, read.public_key);
        let signer = Arc::new(signer);
        signers.insert(id.to_owned(), Arc::clone(&signer));
        signer
    }

    fn signers(&self) -> MutexGuard<'_, BTreeMap<String, Arc<TokenSigner>>> {
        self.signers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KeyManager for Pkcs11Keys {
    async fn generate(&self, id: &str, key_type: KeyType) -> Result<Arc<dyn Signer>, KeyError> {
        let _alone = self.making.lock().await;
        let label = self.identifier.label(id);
        let make = move |token: &Reached<'_>| replace(token, &label, key_type);
        let made = self.token.run(GENERATE_LIMIT, Access::Write, make).await?;
        Ok(self.signer(id, made))
    }

    async fn get(&self, id: &str) -> Result<Option<Arc<dyn Signer>>, KeyError> {
        let label = self.identifier.label(id);
        let find = move |token: &Reached<'_>| newest(token, &label);
        let found = self.token.run(FIND_LIMIT, Access::Read, find).await?;
        Ok(found.map(|read| self.signer(id, read) as Arc<dyn Signer>))
    }

    async fn list(&self) -> Result<Vec<(String, PublicKey)>, KeyError> {
        let identifier = self.identifier.clone();
        let list = move |token: &Reached<'_>| all(token, &identifier);
        Ok(self.token.run(FIND_LIMIT, Access::Read, list).await?)
    }
}

/// Makes a key and then removes those before it. From the moment it is whole on the token it is the
/// current one, whatever happens to the removal.
fn replace(token: &Reached<'_>, label: &str, key_type: KeyType) -> Result<Read, Pkcs11Error> {
    let last = objects::last_version(token, label)?;
    let version = Version::after(last, &SystemRandom::new());
    let made = objects::make(token, label, version, key_type)?;
    let read = read(token, label, &made)?;
    if let Err(error) = objects::remove_before(token, label, version) {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(
            error,
            label,
            "an old key stays on the token until the next is made"
        );
    }
    Ok(read)
}

fn newest(token: &Reached<'_>, label: &str) -> Result<Option<Read>, Pkcs11Error> {
    let found = objects::newest(token, label)?;
    found.map(|found| read(token, label, &found)).transpose()
}

fn all(
    token: &Reached<'_>,
    identifier: &Identifier,
) -> Result<Vec<(String, PublicKey)>, Pkcs11Error> {
    let mut keys = Vec::new();
    for id in objects::ids(token, identifier)? {
        if let Some(read) = newest(token, &identifier.label(&id))? {
            keys.push((id, read.public_key));
        }
    }
    Ok(keys)
}

fn read(token: &Reached<'_>, label: &str, found: &Found) -> Result<Read, Pkcs11Error> {
    Ok(Read {
        version: found.version,
        public_key: objects::public_key(token, label, found.public)?,
    })
}
