//! The code generated from proto/: nothing else.
