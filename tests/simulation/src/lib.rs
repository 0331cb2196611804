//! The simulation of a server and three agents; it is all in `tests/`.
