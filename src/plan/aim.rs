//! What a plan is made towards: what the file says, and what becomes of that which it no longer says.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::state::{Destination, DestinationKey, Key, Observed, Resource, Scope, ServiceKey, State, Weight};

/// What earlier runs of a topology touched, by key: the user's word for it, and what was there before; `None`: nothing.
pub type Owned = BTreeMap<Key, (Arc<str>, Option<Resource>)>;

/// Where a plan leads.
#[derive(Clone, Debug)]
pub struct Aim<'a> {
    /// What must be there: what the file says, and what was there before of that which leaves the file.
    pub wanted: Cow<'a, State>,
    /// What is the topology's and no longer in the file, with the user's word for it. What of it is not wanted goes.
    pub leaving: BTreeMap<Key, Arc<str>>,
    /// Servers that leave and stay without weight until their connections have ended; they are wanted meanwhile.
    pub draining: BTreeSet<DestinationKey>,
    /// How long those of them are let go that nobody let go before, in seconds.
    pub drains: BTreeMap<Key, u32>,
    /// Whether nothing is done with which others would lose something. Otherwise it is planned, and a rule forbids the plan.
    pub sparing: bool,
}

impl<'a> From<&'a State> for Aim<'a> {
    /// Towards a state, from nothing that anybody remembers.
    fn from(wanted: &'a State) -> Aim<'a> {
        Aim {
            wanted: Cow::Borrowed(wanted),
            leaving: BTreeMap::new(),
            draining: BTreeSet::new(),
            drains: BTreeMap::new(),
            sparing: false,
        }
    }
}

impl<'a> Aim<'a> {
    /// Towards what a file says, from what its topology owned.
    pub fn new(wanted: &'a State, owned: &Owned) -> Aim<'a> {
        let mut aim = Aim::from(wanted);
        let mut back: Vec<(Key, Resource)> = Vec::new();
        for (key, (name, original)) in owned {
            if wanted.objects.contains_key(key) {
                continue;
            }
            aim.leaving.insert(key.clone(), name.clone());
            let made_and_goes = |device: &str| {
                let link = Key::Link(device.to_owned());
                !wanted.objects.contains_key(&link) && matches!(owned.get(&link), Some((_, None)))
            };
            let vain = match key {
                // It goes with its device.
                Key::Sysctl(sysctl) => sysctl.device().is_some_and(made_and_goes),
                // Another scheduler knows no order.
                Key::Order(service) => wanted.objects.contains_key(&Key::Service(*service)),
                // Its service goes.
                Key::Destination(server) => matches!(owned.get(&Key::Service(server.service)), Some((_, None))),
                _ => false,
            };
            back.extend(original.iter().filter(|_| !vain).map(|original| (key.clone(), original.clone().as_found())));
        }
        if !back.is_empty() {
            aim.wanted.to_mut().objects.extend(back);
        }
        aim
    }

    /// Lets servers that leave a service go slowly: those of services that say so, and those in `debts`, which an earlier run
    /// let go. Connections are not looked at, so that a plan does not change with them; paying the debt does.
    pub fn drain(&mut self, drains: &BTreeMap<ServiceKey, u32>, debts: &BTreeSet<&Key>, observed: &Observed) {
        let mut kept: Vec<(Key, Resource)> = Vec::new();
        for key in self.leaving.keys().filter(|key| self.goes(key)) {
            let Key::Destination(server) = key else { continue };
            let slowly = drains.contains_key(&server.service) || debts.contains(key);
            if slowly
                && self.wanted.objects.contains_key(&Key::Service(server.service))
                && let Some(Resource::Destination(live)) = observed.state.objects.get(key)
            {
                kept.push((key.clone(), Resource::Destination(Destination { weight: Weight::Owned(0), ..live.clone() })));
            }
        }
        if !kept.is_empty() {
            self.draining = kept.iter().filter_map(|(key, _)| key.server()).collect();
            let begun = kept.iter().map(|(key, _)| key).filter(|key| !debts.contains(key));
            let seconds = |key: &Key| drains.get(&key.server()?.service).map(|seconds| (key.clone(), *seconds));
            self.drains = begun.filter_map(seconds).collect();
            self.wanted.to_mut().objects.extend(kept);
        }
    }

    /// What must be read to plan: also what goes with a device that leaves, to be there again when that is taken back.
    pub fn scope(&self) -> Scope {
        Scope::of_keys(self.wanted.objects.keys().chain(self.leaving.keys()))
    }

    /// Whether an object is ours and goes.
    pub fn goes(&self, key: &Key) -> bool {
        self.leaving.contains_key(key) && !self.wanted.objects.contains_key(key)
    }
}
