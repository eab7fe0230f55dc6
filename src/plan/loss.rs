//! What others lose with the changes of a plan: what goes along and is not put back, and what could not be made again.

use std::fmt;

use crate::state::effects::effects_among;
use crate::state::{Action, Change, Key, Observed, Resource, SysctlKey};

/// Something that others made, and that is not afterwards what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What is taken away, or written.
    pub cause: Key,
    /// What others made.
    pub taken: Key,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of something that others made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes along.
    Gone,
    /// A route loses its source address.
    WithoutSource,
    /// It is replaced, and an undo could not make it again as it was.
    Replaced,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loss { cause, taken, fate } = self;
        match fate {
            Fate::Gone => write!(f, "{taken} was made by others, and would be lost with the change of {cause}"),
            Fate::WithoutSource => {
                write!(f, "{taken} was made by others, and would lose its source address with the change of {cause}")
            }
            Fate::Replaced => {
                write!(f, "{taken} would be replaced, and has settings that others made and that could not be made again")
            }
        }
    }
}

/// What others lose with `changes`, which are sorted by key and have what they put back.
pub fn losses(changes: &[&Change], observed: &Observed) -> Vec<Loss> {
    let change_of = |key: &Key| changes.binary_search_by(|change| change.key.cmp(key)).ok().and_then(|at| changes.get(at));
    let keeps_routes = |device: &str| {
        let accept = SysctlKey::parse(&format!("net/ipv6/conf/{device}/accept_ra"));
        let after = accept.and_then(|key| change_of(&Key::Sysctl(key))?.after.as_ref());
        matches!(after, Some(Resource::Sysctl(value)) if value.value == "2")
    };
    let effects = effects_among(changes, observed);
    let mut losses: Vec<Loss> = Vec::new();
    for change in changes.iter().filter(|change| change.action() != Action::Restore) {
        let mut lose = |taken: &Key, fate| {
            if !losses.iter().any(|loss| loss.taken == *taken) {
                losses.push(Loss { cause: change.key.clone(), taken: taken.clone(), fate });
            }
        };
        // What is ours alone can always be made again.
        let mut replaced = change.before.iter().filter(|_| change.action() == Action::Replace);
        if replaced.any(|before| !observed.can_make_again(&change.key, before)) {
            lose(&change.key, Fate::Replaced);
        }
        for effect in effects(change) {
            let stays = match (&effect.key, &effect.before) {
                (Key::Address(address), _) => address.comes_by_itself(),
                (Key::Route(key), Some(Resource::Route(route))) => {
                    route.is_from_advertisement(key) && keeps_routes(&key.interface)
                }
                _ => true,
            };
            if !stays && change_of(&effect.key).is_none() {
                lose(&effect.key, if effect.after.is_none() { Fate::Gone } else { Fate::WithoutSource });
            }
        }
    }
    losses
}
