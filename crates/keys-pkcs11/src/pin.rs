//! The user PIN of the token: from the configuration, or from a file of its owner's alone.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use signet_crypto::SecretString;

use crate::Pkcs11Error;

/// Tokens take PINs of at most 255 bytes; a file over this is another one.
const MAX_PIN_FILE_BYTES: u64 = 512;

/// Where the PIN is.
#[derive(Clone, Debug)]
pub enum Pin {
    /// Here: `pin`.
    Given(Arc<SecretString>),
    /// In a file of one line: `pin_path`.
    File(PathBuf),
}

/// Settings are compared as a whole; nothing decides by it whether a PIN is right.
impl PartialEq for Pin {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Given(pin), Self::Given(other)) => pin.expose() == other.expose(),
            (Self::File(path), Self::File(other)) => path == other,
            _ => false,
        }
    }
}

impl Eq for Pin {}

impl Pin {
    pub(crate) fn read(&self) -> Result<Arc<SecretString>, Pkcs11Error> {
        match self {
            Self::Given(pin) => Ok(Arc::clone(pin)),
            Self::File(path) => read_file(path).map(Arc::new),
        }
    }
}

fn read_file(path: &Path) -> Result<SecretString, Pkcs11Error> {
    let failed = |source| Pkcs11Error::PinFile {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(Pkcs11Error::PinFileOpen {
            path: path.to_owned(),
            mode,
        });
    }
    // The whole capacity up front: a growing string would leave copies of the PIN behind.
    let mut text = String::with_capacity(usize::try_from(MAX_PIN_FILE_BYTES).unwrap_or(0) + 1);
    file.take(MAX_PIN_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let text = SecretString::new(text);
    one_line(text.expose())
        .map(|pin| SecretString::new(pin.to_owned()))
        .ok_or_else(|| Pkcs11Error::NoPin {
            path: path.to_owned(),
        })
}

/// The line without its end, as editors and `echo` write it.
fn one_line(text: &str) -> Option<&str> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let fits = text.len() as u64 <= MAX_PIN_FILE_BYTES;
    (fits && !line.is_empty() && !line.contains('\n')).then_some(line)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, Pin) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pin");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, Pin::File(path))
    }

    #[test]
    fn a_pin_is_a_line_with_or_without_its_end() {
        for text in ["1234", "1234\n", "1234\r\n"] {
            let (_directory, pin) = file(text, 0o600);
            assert_eq!(pin.read().unwrap().expose(), "1234");
        }
    }

    #[test]
    fn a_file_without_a_pin_or_with_more_is_refused() {
        let long = "1".repeat(513);
        for text in ["", "\n", "12\n34\n", &long] {
            let (_directory, pin) = file(text, 0o600);
            let error = pin.read().unwrap_err();
            assert!(matches!(error, Pkcs11Error::NoPin { .. }), "{error}");
            assert!(text.len() < 2 || !format!("{error:?}").contains(text));
        }
    }

    #[test]
    fn a_file_open_to_all_is_refused_with_the_remedy() {
        let (_directory, pin) = file("1234", 0o644);
        let error = pin.read().unwrap_err();
        assert!(matches!(
            error,
            Pkcs11Error::PinFileOpen { mode: 0o644, .. }
        ));
        assert!(error.to_string().contains("chmod 600"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Pin::File("/none/pin".into()).read().unwrap_err();
        assert!(error.to_string().contains("/none/pin"));
    }

    #[test]
    fn a_pin_does_not_print() {
        let pin = Pin::Given(Arc::new(SecretString::new("1234".to_owned())));
        assert!(!format!("{pin:?}").contains("1234"));
    }
}
