//! Key manager and key ports with the memory and disk adapters.
