//! SPIFFE ID, trust domain, bundle, X.509-, JWT- and WIT-SVID: parse, check, encode.
