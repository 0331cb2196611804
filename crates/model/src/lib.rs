//! Entries, agents, the index of who may have what, and the pure rules over them.
