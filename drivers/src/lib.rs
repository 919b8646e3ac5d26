//! Device drivers as async tasks: register-level, testable on the host.
#![no_std]
