//! What the command knows to use, as a value: the built-in parts and a caller's own.

use mnas_deploy::{Attached, DEVICES, Device, DeviceError, DeviceInfo, DeviceKind};

/// The extensions that a program passes to [`crate::main_with`].
#[derive(Clone)]
pub struct Registry {
    devices: Vec<&'static dyn DeviceKind>,
}

impl Registry {
    /// What is built in.
    pub fn builtin() -> Self {
        Self {
            devices: DEVICES.to_vec(),
        }
    }

    /// Adds a kind of device. It comes before the built-in ones, so it may stand in for one.
    pub fn with_device(mut self, kind: &'static dyn DeviceKind) -> Self {
        self.devices.insert(0, kind);
        self
    }

    pub(crate) fn devices(&self) -> &[&'static dyn DeviceKind] {
        &self.devices
    }

    pub(crate) fn open_device(&self, name: &str) -> Result<Box<dyn Device>, DeviceError> {
        mnas_deploy::open_among(&self.devices, name)
    }

    /// Devices that are attached to this machine, ready or not.
    pub(crate) fn attached(&self) -> Vec<Attached> {
        self.devices
            .iter()
            .flat_map(|kind| kind.attached())
            .collect()
    }

    /// Devices that are present here.
    pub(crate) fn present(&self) -> Vec<DeviceInfo> {
        self.devices.iter().flat_map(|kind| kind.probe()).collect()
    }
}
