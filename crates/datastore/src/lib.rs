//! The store port with its redb, memory and sled adapters.
