//! How the story looks: numbered steps, and an SVID in readable form.

use std::sync::atomic::{AtomicUsize, Ordering};

use spiffe::JwtSvid;
use time::{OffsetDateTime, macros::format_description};

use crate::verify::X509;

/// Announces the next step.
pub(crate) fn step(text: &str) {
    static STEPS: AtomicUsize = AtomicUsize::new(1);
    let number = STEPS.fetch_add(1, Ordering::Relaxed);
    println!("\n{number}. {text}");
}

/// An X.509-SVID that verified.
pub(crate) fn x509(svid: &X509) {
    let life = (svid.not_after - svid.not_before).whole_seconds();
    println!("   SPIFFE ID  {}", svid.id);
    println!("   serial     {}", svid.serial);
    let (from, to) = (moment(svid.not_before), moment(svid.not_after));
    println!("   valid      {from} to {to} UTC ({life} s)");
    println!("   key        ends in {}", ending(&svid.public_key));
    println!("   issuer     {}", svid.issuer);
    println!("   verified   its chain ends in the trust domain's bundle");
}

/// A JWT-SVID that verified.
pub(crate) fn jwt(svid: &JwtSvid) {
    println!("   SPIFFE ID  {}", svid.spiffe_id());
    println!("   audience   {}", svid.audience().join(", "));
    println!("   key id     {}", svid.key_id());
    println!("   valid      until {} UTC", moment(svid.expiry()));
    println!("   verified   its signature is by a key of the trust domain's bundle");
}

fn moment(at: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    at.format(form).expect("a time of these years can be shown")
}

/// Enough of a key to tell it from the one before.
fn ending(key: &[u8]) -> String {
    let last = &key[key.len().saturating_sub(8)..];
    last.iter().map(|byte| format!("{byte:02x}")).collect()
}
