//! States from text, for the tests of plans.

use crate::state::{Observed, State};

/// A state of objects, each `"KEY": {RESOURCE}`.
pub fn state(objects: &[&str]) -> State {
    serde_json::from_str(&format!("{{{}}}", objects.join(", "))).expect("objects of a state")
}

/// A kernel with IPVS that holds these objects.
pub fn observed(objects: &[&str]) -> Observed {
    let mut observed = Observed { state: state(objects), ..Observed::default() };
    observed.kernel.ipvs = true;
    observed
}
