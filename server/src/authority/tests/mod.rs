//! The reconciler on a store and keys that fail on command, under a clock moved by hand.

mod bench;
mod clock;
mod condemn;
mod crash;
mod reach;
