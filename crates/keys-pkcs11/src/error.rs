//! What can go wrong with a token, and who must act.

use std::io;
use std::path::PathBuf;

use cryptoki::error::{Error, RvError};
use signet_keys::KeyError;

use crate::TokenName;

/// What the module said. Its own texts are paragraphs of the standard; the code's name says the same.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// A function of the module failed.
    #[error("{function} answered {code:?}")]
    Answered {
        /// Which function.
        function: String,
        /// With which code.
        code: RvError,
    },
    /// The module could not be called, or its answer not be read.
    #[error(transparent)]
    Other(Error),
}

impl From<Error> for ModuleError {
    fn from(error: Error) -> Self {
        match error {
            Error::Pkcs11(code, function) => Self::Answered {
                function: format!("C_{function:?}"),
                code,
            },
            other => Self::Other(other),
        }
    }
}

impl ModuleError {
    fn code(&self) -> Option<RvError> {
        match self {
            Self::Answered { code, .. } => Some(*code),
            Self::Other(_) => None,
        }
    }
}

/// What a token failed on.
#[derive(Debug, thiserror::Error)]
pub enum Pkcs11Error {
    /// The module is not there, or no PKCS#11 module.
    #[error("could not load the PKCS#11 module {}", path.display())]
    Load {
        /// `module_path`.
        path: PathBuf,
        /// Why.
        #[source]
        source: ModuleError,
    },
    /// The module does not start.
    #[error("the PKCS#11 module {} does not start", path.display())]
    Initialize {
        /// `module_path`.
        path: PathBuf,
        /// Why.
        #[source]
        source: ModuleError,
    },
    /// The PIN file could not be read.
    #[error("could not read the PIN file {}", path.display())]
    PinFile {
        /// `pin_path`.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Every user of the machine can read the PIN.
    #[error(
        "the PIN file {} is open to all users (mode {mode:04o}): run `chmod 600 {}`, and change the PIN if others may have read it",
        path.display(), path.display()
    )]
    PinFileOpen {
        /// `pin_path`.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The PIN file holds no PIN.
    #[error("the PIN file {} holds no PIN: it should be one line of text", path.display())]
    NoPin {
        /// `pin_path`.
        path: PathBuf,
    },
    /// The token is not there.
    #[error("there is no token with {wanted}; present are: {present}")]
    NoToken {
        /// What was asked for.
        wanted: TokenName,
        /// Labels and slots of those that are there.
        present: String,
    },
    /// The label does not say which token.
    #[error("several tokens have {wanted}: name one by slot_id ({slots})")]
    SeveralTokens {
        /// What was asked for.
        wanted: TokenName,
        /// Their slots.
        slots: String,
    },
    /// The token does not take the PIN.
    #[error(
        "the token refused the PIN; it is not tried again, so that the token does not lock itself: correct it and restart"
    )]
    PinRefused {
        /// Why.
        #[source]
        source: ModuleError,
    },
    /// The PIN was refused before.
    #[error("the token refused the PIN earlier: correct it and restart")]
    PinRefusedBefore,
    /// A wrong PIN now would lock the token.
    #[error(
        "one more wrong PIN would lock the token, so none is tried: log in once by hand with the right one"
    )]
    LastTry,
    /// The token is locked.
    #[error(
        "the token has locked itself after wrong PINs: unlock it with the security officer's PIN"
    )]
    Locked,
    /// The module failed at something.
    #[error("could not {step}")]
    Call {
        /// At what.
        step: &'static str,
        /// How.
        #[source]
        source: ModuleError,
    },
    /// The key is no longer on the token.
    #[error("the key {label:?} is no longer on the token")]
    KeyGone {
        /// Its label there.
        label: String,
    },
    /// The public key on the token cannot be understood.
    #[error("the public key {label:?} on the token is not one that was made here")]
    PublicKey {
        /// Its label there.
        label: String,
    },
    /// More objects than a token of keys has.
    #[error("the token holds more than {limit} keys: give the server one of its own")]
    TooManyKeys {
        /// The limit.
        limit: usize,
    },
    /// The token does not answer, or all sessions are taken.
    #[error("the token did not answer in time")]
    Slow,
    /// The work was cut off because the process is stopping.
    #[error("stopped while the token was at work")]
    Stopped,
}

impl Pkcs11Error {
    pub(crate) fn call(step: &'static str) -> impl FnOnce(Error) -> Self {
        move |error| Self::Call {
            step,
            source: error.into(),
        }
    }

    fn code(&self) -> Option<RvError> {
        match self {
            Self::Call { source, .. } => source.code(),
            _ => None,
        }
    }

    /// True if the session, the login or the token is gone, so that connecting again may help.
    pub(crate) fn is_lost_connection(&self) -> bool {
        use RvError as E;
        let is_gone = matches!(self, Self::NoToken { .. });
        is_gone
            || self.code().is_some_and(|code| {
                matches!(
                    code,
                    E::CryptokiNotInitialized
                        | E::DeviceError
                        | E::DeviceRemoved
                        | E::FunctionFailed
                        | E::GeneralError
                        | E::SessionClosed
                        | E::SessionHandleInvalid
                        | E::SlotIdInvalid
                        | E::TokenNotPresent
                        | E::TokenNotRecognized
                        | E::UserNotLoggedIn
                )
            })
    }

    /// True if the handle of an object no longer stands for it.
    pub(crate) fn is_stale_handle(&self) -> bool {
        matches!(
            self.code(),
            Some(RvError::KeyHandleInvalid | RvError::ObjectHandleInvalid)
        )
    }

    /// True if the same call may succeed later without anyone changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoToken { .. } | Self::Slow | Self::Stopped => true,
            Self::Call { .. } => !self.code().is_some_and(is_final),
            _ => false,
        }
    }
}

/// Answers that stay the same until somebody changes the token or the configuration.
fn is_final(code: RvError) -> bool {
    use RvError as E;
    matches!(
        code,
        E::ActionProhibited
            | E::AttributeReadOnly
            | E::AttributeTypeInvalid
            | E::AttributeValueInvalid
            | E::CurveNotSupported
            | E::DeviceMemory
            | E::DomainParamsInvalid
            | E::FunctionNotSupported
            | E::KeyFunctionNotPermitted
            | E::KeySizeRange
            | E::KeyTypeInconsistent
            | E::MechanismInvalid
            | E::MechanismParamInvalid
            | E::TemplateIncomplete
            | E::TemplateInconsistent
            | E::TokenWriteProtected
            | E::UserPinNotInitialized
    )
}

impl From<Pkcs11Error> for KeyError {
    fn from(error: Pkcs11Error) -> Self {
        let transient = error.is_transient();
        let source = Box::new(error);
        match transient {
            true => Self::Unreachable { source },
            false => Self::Refused { source },
        }
    }
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    fn answered(code: RvError) -> Pkcs11Error {
        Pkcs11Error::call("sign")(Error::Pkcs11(code, Function::Sign))
    }

    #[test]
    fn an_answer_is_shown_by_its_names() {
        let error = answered(RvError::MechanismInvalid);
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), "C_Sign answered MechanismInvalid");
    }

    #[test]
    fn a_token_that_went_away_is_transient_and_one_that_cannot_is_not() {
        for code in [RvError::DeviceRemoved, RvError::SessionHandleInvalid] {
            assert!(answered(code).is_lost_connection());
            assert!(KeyError::from(answered(code)).is_transient());
        }
        for code in [RvError::MechanismInvalid, RvError::DeviceMemory] {
            assert!(!answered(code).is_lost_connection());
            assert!(!KeyError::from(answered(code)).is_transient());
        }
    }

    #[test]
    fn a_refused_pin_is_final() {
        assert!(!Pkcs11Error::PinRefusedBefore.is_transient());
        assert!(!Pkcs11Error::LastTry.is_transient());
        assert!(!Pkcs11Error::Locked.is_transient());
    }
}
