//! Conformance suites, fakes and toy data shared by the tests of every crate.

#[cfg(feature = "deploy")]
pub mod device;
