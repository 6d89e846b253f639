//! The agent on other machines, end to end: phones through the real `adb`, boards through a real
//! `sshd`, an ARM processor through `qemu-user`.

#![cfg(unix)]

mod arm;
mod hostile;
mod phone;
mod place;
mod ssh;
