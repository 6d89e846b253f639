//! Conformance suites, fakes and toy data shared by the tests of every crate.

pub mod adbd;
#[cfg(feature = "search")]
pub mod controller;
#[cfg(feature = "deploy")]
pub mod device;
#[cfg(feature = "search")]
pub mod landscape;
#[cfg(unix)]
pub mod postgres;
pub mod weights;
