//! A model of the kernel.
