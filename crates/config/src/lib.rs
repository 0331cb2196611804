//! HCL 1 and JSON to one raw value with key paths and positions; knows no section.
