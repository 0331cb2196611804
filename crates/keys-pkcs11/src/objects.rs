//! What stands on the token: how keys are labelled, made, found and removed.

use std::collections::BTreeSet;

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use signet_crypto::{KeyType, PublicKey};

use crate::token::Reached;
use crate::version::Version;
use crate::{Identifier, Pkcs11Error, public};

/// A server has a dozen keys; a token with more than this many serves another purpose, and looking
/// through it at each rotation would take minutes.
const MAX_KEYS: usize = 10_000;

/// 65537, as everywhere.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// A key pair that is whole.
pub(crate) struct Found {
    pub(crate) version: Version,
    pub(crate) public: ObjectHandle,
}

/// Makes a key pair on the token.
pub(crate) fn make(
    token: &Reached<'_>,
    label: &str,
    version: Version,
    key_type: KeyType,
) -> Result<Found, Pkcs11Error> {
    let (mechanism, mut public_half) = match public::ec_params(key_type) {
        Some(params) => (
            Mechanism::EccKeyPairGen,
            vec![Attribute::EcParams(params.to_vec())],
        ),
        None => (Mechanism::RsaPkcsKeyPairGen, rsa(key_type)),
    };
    public_half.extend(named(label, version));
    public_half.extend([Attribute::Private(false), Attribute::Verify(true)]);
    let mut private_half = named(label, version);
    private_half.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
    ]);
    let made = token
        .session
        .generate_key_pair(&mechanism, &public_half, &private_half);
    let (public, _) = made.map_err(Pkcs11Error::call("make a key on the token"))?;
    Ok(Found { version, public })
}

fn rsa(key_type: KeyType) -> Vec<Attribute> {
    let bits: u64 = if key_type == KeyType::Rsa4096 {
        4096
    } else {
        2048
    };
    vec![
        Attribute::ModulusBits(bits.into()),
        Attribute::PublicExponent(RSA_EXPONENT.to_vec()),
    ]
}

fn named(label: &str, version: Version) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(version.id()),
    ]
}

/// The newest whole key pair of the label.
pub(crate) fn newest(token: &Reached<'_>, label: &str) -> Result<Option<Found>, Pkcs11Error> {
    let public = halves(token, ObjectClass::PUBLIC_KEY, label)?;
    let private = halves(token, ObjectClass::PRIVATE_KEY, label)?;
    let whole = public.into_iter().filter_map(|(version, public)| {
        let is_whole = private.iter().any(|(other, _)| *other == version);
        is_whole.then_some(Found { version, public })
    });
    let newest = whole.max_by_key(|found| found.version);
    if newest.is_none() {
        token.is_there()?;
    }
    Ok(newest)
}

/// The newest version that the label ever had here, whole or not.
pub(crate) fn last_version(
    token: &Reached<'_>,
    label: &str,
) -> Result<Option<Version>, Pkcs11Error> {
    let public = halves(token, ObjectClass::PUBLIC_KEY, label)?;
    let private = halves(token, ObjectClass::PRIVATE_KEY, label)?;
    Ok(public
        .into_iter()
        .chain(private)
        .map(|(version, _)| version)
        .max())
}

/// Removes every version of the label before `current`, private halves first.
pub(crate) fn remove_before(
    token: &Reached<'_>,
    label: &str,
    current: Version,
) -> Result<(), Pkcs11Error> {
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        for (version, handle) in halves(token, class, label)? {
            if version < current {
                let removed = token.session.destroy_object(handle);
                removed.map_err(Pkcs11Error::call("remove an old key from the token"))?;
            }
        }
    }
    Ok(())
}

/// The private half of one version.
pub(crate) fn private_half(
    token: &Reached<'_>,
    label: &str,
    version: Version,
) -> Result<ObjectHandle, Pkcs11Error> {
    let mut template = named(label, version);
    template.push(Attribute::Class(ObjectClass::PRIVATE_KEY));
    let found = find(token, &template)?;
    if found.is_empty() {
        token.is_there()?;
    }
    found.first().copied().ok_or_else(|| Pkcs11Error::KeyGone {
        label: label.to_owned(),
    })
}

/// The ids of all keys below the identifier.
pub(crate) fn ids(
    token: &Reached<'_>,
    identifier: &Identifier,
) -> Result<BTreeSet<String>, Pkcs11Error> {
    let prefix = identifier.label("");
    let template = [
        Attribute::Token(true),
        Attribute::Class(ObjectClass::PRIVATE_KEY),
    ];
    let mut ids = BTreeSet::new();
    for handle in find(token, &template)? {
        let read = attributes(token, handle, &[AttributeType::Label])?;
        let [Attribute::Label(label)] = &read[..] else {
            continue;
        };
        let label = std::str::from_utf8(label).ok();
        if let Some(id) = label.and_then(|label| label.strip_prefix(&prefix)) {
            ids.insert(id.to_owned());
        }
    }
    if ids.is_empty() {
        token.is_there()?;
    }
    Ok(ids)
}

/// The public key of a pair.
pub(crate) fn public_key(
    token: &Reached<'_>,
    label: &str,
    handle: ObjectHandle,
) -> Result<PublicKey, Pkcs11Error> {
    const EC: [AttributeType; 2] = [AttributeType::EcParams, AttributeType::EcPoint];
    const RSA: [AttributeType; 2] = [AttributeType::Modulus, AttributeType::PublicExponent];
    let ec = attributes(token, handle, &EC)?;
    let read = match ec.is_empty() {
        true => attributes(token, handle, &RSA)?,
        false => ec,
    };
    public::from_attributes(&read).ok_or_else(|| Pkcs11Error::PublicKey {
        label: label.to_owned(),
    })
}

/// Objects of a class and label that were made here.
fn halves(
    token: &Reached<'_>,
    class: ObjectClass,
    label: &str,
) -> Result<Vec<(Version, ObjectHandle)>, Pkcs11Error> {
    let template = [
        Attribute::Token(true),
        Attribute::Class(class),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let mut halves = Vec::new();
    for handle in find(token, &template)? {
        let read = attributes(token, handle, &[AttributeType::Id])?;
        if let [Attribute::Id(id)] = &read[..]
            && let Some(version) = Version::from_id(id)
        {
            halves.push((version, handle));
        }
    }
    Ok(halves)
}

fn find(token: &Reached<'_>, template: &[Attribute]) -> Result<Vec<ObjectHandle>, Pkcs11Error> {
    let failed = |error| Pkcs11Error::call("look for keys on the token")(error);
    let found = token.session.iter_objects(template).map_err(failed)?;
    let found: Vec<_> = found
        .take(MAX_KEYS + 1)
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    match found.len() > MAX_KEYS {
        true => Err(Pkcs11Error::TooManyKeys { limit: MAX_KEYS }),
        false => Ok(found),
    }
}

fn attributes(
    token: &Reached<'_>,
    handle: ObjectHandle,
    wanted: &[AttributeType],
) -> Result<Vec<Attribute>, Pkcs11Error> {
    let read = token.session.get_attributes(handle, wanted);
    read.map_err(Pkcs11Error::call("read a key's attributes"))
}
