//! A kernel's state as `lvsform snapshot` captures it and `plan --live` reads it: one versioned document.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::state::Observed;

/// The name and version of the format.
pub const FORMAT: &str = "lvsform-live/1";

/// A captured state.
#[derive(Debug, Serialize, Deserialize)]
pub struct Captured {
    /// `lvsform-live/1`
    pub format: String,
    /// What was read.
    pub observed: Observed,
}

/// A document of another format or version.
#[derive(Debug)]
pub struct OtherFormat {
    found: String,
}

impl fmt::Display for OtherFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its format is `{}`, and this version of lvsform reads `{FORMAT}`", self.found)
    }
}

impl std::error::Error for OtherFormat {}

impl Captured {
    /// A document of this version.
    pub fn new(observed: Observed) -> Captured {
        Captured { format: FORMAT.to_owned(), observed }
    }

    /// What was captured, if it is of this version.
    pub fn observed(self) -> Result<Observed, OtherFormat> {
        if self.format == FORMAT { Ok(self.observed) } else { Err(OtherFormat { found: self.format }) }
    }
}
