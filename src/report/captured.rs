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

/// Why a text is no captured state that this version reads.
#[derive(Debug)]
pub enum NotCaptured {
    /// A document of another format or version, or one that does not name its format.
    Format(Option<String>),
    /// Nothing.
    Empty,
    /// No JSON, or not of the form that it says it has.
    Json(serde_json::Error),
}

impl fmt::Display for NotCaptured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotCaptured::Format(Some(found)) => {
                write!(f, "its format is `{found}`, and this version of lvsform reads `{FORMAT}`")
            }
            NotCaptured::Format(None) => write!(f, "it does not say `\"format\": \"{FORMAT}\"`"),
            NotCaptured::Empty => f.write_str("it is empty"),
            NotCaptured::Json(error) if error.is_data() => write!(f, "{error}"),
            NotCaptured::Json(error) => write!(f, "it is not JSON: {error}"),
        }
    }
}

impl std::error::Error for NotCaptured {}

/// Reads a captured state. Its format is looked at first: what another version wrote cannot be judged field by field.
pub fn read(text: &str) -> Result<Observed, NotCaptured> {
    /// What every version has.
    #[derive(Deserialize)]
    #[serde(expecting = "an object")]
    struct Named {
        format: Option<String>,
    }
    if text.trim().is_empty() {
        return Err(NotCaptured::Empty);
    }
    let Named { format } = serde_json::from_str(text).map_err(NotCaptured::Json)?;
    if format.as_deref() != Some(FORMAT) {
        return Err(NotCaptured::Format(format));
    }
    let captured: Captured = serde_json::from_str(text).map_err(NotCaptured::Json)?;
    Ok(captured.observed)
}

impl Captured {
    /// A document of this version.
    pub fn new(observed: Observed) -> Captured {
        Captured { format: FORMAT.to_owned(), observed }
    }
}
