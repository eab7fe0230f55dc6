//! What can be known of a plan before the kernel is asked: whether this process may do every step, and whether a model of the
//! kernel takes them. Nothing here touches the kernel.

use crate::kernel::capability::{Capabilities, Capability};
use crate::kernel::fake::Fake;
use crate::kernel::{EACCES, EADDRNOTAVAIL, ENOENT, EROFS, Kernel, Outcome, Refusal};
use crate::plan::Phase;
use crate::state::{Change, Key, Observed, ReadOnly};

/// The steps that a model of the kernel refuses, of the first phase in which there are any.
pub fn refused_by_model(phases: &[Phase], observed: &Observed) -> Vec<(Change, Refusal)> {
    if phases.is_empty() {
        return Vec::new();
    }
    let mut model = Fake::from(observed.clone());
    for phase in phases {
        let mut outcomes = model.run(phase);
        for (step, outcome) in phase.steps.iter().zip(&mut outcomes) {
            if let Some(why) = observed.read_only.get(&step.key) {
                let errno = if *why == ReadOnly::Mode { EACCES } else { EROFS };
                *outcome = Outcome::Refused(Refusal { errno, text: None });
            }
        }
        let refused: Vec<(Change, Refusal)> = phase
            .steps
            .iter()
            .zip(outcomes)
            .filter_map(|(step, outcome)| match outcome {
                Outcome::Refused(refusal) if !is_beyond_the_model(step, &refusal) => Some((step.clone(), refusal)),
                _ => None,
            })
            .collect();
        if !refused.is_empty() {
            return refused;
        }
    }
    Vec::new()
}

/// The model does not have every sysctl that a module or a device brings; and an address that went with another one of its
/// subnet is gone, as it was to be.
fn is_beyond_the_model(step: &Change, refusal: &Refusal) -> bool {
    match step.key {
        Key::Sysctl(_) => step.before.is_none() && refusal.errno == ENOENT,
        Key::Address(_) => step.after.is_none() && refusal.errno == EADDRNOTAVAIL,
        _ => false,
    }
}

/// The first step for which this process lacks a capability, and which one.
///
/// `ip_vs` is loaded by asking for its netlink family, which needs none; sysctls of a namespace are root's too.
pub fn forbidden<'a>(phases: &'a [Phase], has: &Capabilities) -> Option<(&'a Change, Capability)> {
    phases.iter().flat_map(|phase| &phase.steps).find_map(|step| {
        let needed = match &step.key {
            Key::Module(name) if name == "ip_vs" => return None,
            Key::Module(_) => Capability::SysModule,
            Key::Sysctl(_) if has.is_root => return None,
            _ => Capability::NetAdmin,
        };
        (!has.has(needed)).then_some((step, needed))
    })
}

#[cfg(test)]
mod tests {
    use super::{forbidden, refused_by_model};
    use crate::kernel::capability::{Capabilities, Capability};
    use crate::kernel::{EACCES, EROFS};
    use crate::plan::{Aim, Phase, diff, order};
    use crate::state::{Observed, ReadOnly, State};

    fn plan(wanted: &str, observed: &Observed) -> Vec<Phase> {
        let wanted: State = serde_json::from_str(wanted).expect("a state");
        order(&diff(&Aim::from(&wanted), observed, false), observed)
    }

    fn live() -> Observed {
        let state = r#"{"link eth0": {"kind": "link", "device": {"other": ""}, "up": true}}"#;
        Observed { state: serde_json::from_str(state).expect("a state"), ..Observed::default() }
    }

    #[test]
    fn a_vip_on_a_device_that_is_not_there_is_refused_before_the_kernel_is_asked() {
        let vip = |device: &str| format!(r#"{{"vip 10.0.0.100 {device}": {{"kind": "address"}}}}"#);
        assert!(refused_by_model(&plan(&vip("eth0"), &live()), &live()).is_empty());
        let refused = refused_by_model(&plan(&vip("eth1"), &live()), &live());
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].0.key.to_string(), "vip 10.0.0.100 eth1");
    }

    #[test]
    fn a_sysctl_that_the_model_does_not_know_is_left_to_the_kernel() {
        let sysctl = r#"{"sysctl net.ipv4.conf.eth0.log_martians": {"kind": "sysctl", "value": "1"}}"#;
        assert!(refused_by_model(&plan(sysctl, &live()), &live()).is_empty());
    }

    #[test]
    fn a_sysctl_that_cannot_be_written_is_refused_before_the_kernel_is_asked() {
        let wanted = r#"{"sysctl net.ipv4.ip_forward": {"kind": "sysctl", "value": "1"}}"#;
        let mut live = live();
        let found: State = serde_json::from_str(&wanted.replace(r#""1""#, r#""0""#)).expect("a state");
        live.state.objects.extend(found.objects);
        assert!(refused_by_model(&plan(wanted, &live), &live).is_empty());
        for (why, errno) in [(ReadOnly::Mode, EACCES), (ReadOnly::Mount, EROFS)] {
            live.read_only.insert("sysctl net.ipv4.ip_forward".parse().expect("a key"), why);
            let refused = refused_by_model(&plan(wanted, &live), &live);
            assert_eq!(refused.iter().map(|(_, refusal)| refusal.errno).collect::<Vec<_>>(), [errno]);
        }
    }

    #[test]
    fn each_step_needs_its_capability() {
        let all = r#"{"module ip_vs": {"kind": "module"}, "module fou": {"kind": "module"},
            "sysctl net.ipv4.ip_forward": {"kind": "sysctl", "value": "1"}, "vip 10.0.0.100 eth0": {"kind": "address"}}"#;
        let phases = plan(all, &live());
        let first = |has: &[Capability], is_root| {
            let has = Capabilities { effective: has.iter().fold(0, |bits, one| bits | 1 << *one as u8), is_root };
            forbidden(&phases, &has).map(|(step, needed)| (step.key.to_string(), needed))
        };
        let (module, admin) = (Capability::SysModule, Capability::NetAdmin);
        assert_eq!(first(&[module, admin], false), None);
        assert_eq!(first(&[admin], false), Some(("module fou".to_owned(), module)));
        assert_eq!(first(&[module], true), Some(("vip 10.0.0.100 eth0".to_owned(), admin)));
        assert_eq!(first(&[module], false), Some(("sysctl net.ipv4.ip_forward".to_owned(), admin)));
    }
}
