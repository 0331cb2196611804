//! Ports of node attestation and the attestors themselves, both halves.
