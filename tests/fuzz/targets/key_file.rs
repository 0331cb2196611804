//! The disk key manager's file: arbitrary text.
//!
//! Whatever is accepted is written so that the same keys are read again, and no error shows a piece
//! of the file, which holds private keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_keys::disk::DiskError;
use signet_keys::testing::key_file::reread;

fuzz_target!(|text: &[u8]| match reread(text) {
    Ok(read) => {
        let again = reread(&read.written).expect("what was written is read");
        assert_eq!(again.keys, read.keys);
        assert_eq!(again.written, read.written, "one form for the same keys");
    }
    Err(error) => shows_nothing(&error),
});

/// An error says where, and which key: ids are no secret.
fn shows_nothing(error: &DiskError) {
    match error {
        DiskError::Damaged { .. } | DiskError::NotBase64 { .. } | DiskError::BadKey { .. } => {}
        other => panic!("a text has no file: {other}"),
    }
    let source = std::error::Error::source(error).map(ToString::to_string);
    assert!(source.is_none_or(|source| source.len() < 200));
}
