//! From a topology to what one host's kernel must hold.
