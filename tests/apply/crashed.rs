//! Somebody else who writes on the very objects of a run, between its phases, or between its death and its recovery: what is
//! theirs by now is left as it is and named, and the operator decides.

use libtest_mimic::Trial;
use lvsform::kernel::Outcome;
use lvsform::plan::Rank;
use lvsform::state::{Change, Key, Resource, Weight};
use lvsform::txn::journal::{self, Journal};
use lvsform::txn::{Ended, Recovered, Why};

use crate::command::{File, lvsform, run, says};
use crate::director::Director;
use crate::killed::{Death, FIRST, goal, half_done, shop, strike};
use crate::recorded::{self, Case, Folder};
use crate::world::{World, test};
use crate::wrap::Meddled;
use crate::{hand, owned, witness};

pub fn tests() -> Vec<Trial> {
    vec![
        test("crashed::what_others_changed_deleted_or_made_since_is_named_and_the_operator_decides", decides),
        test("crashed::a_server_that_others_took_away_stays_away", deleted),
        test("crashed::a_foreign_write_on_any_object_of_the_run_stays", any_object),
        test("crashed::what_appears_between_two_phases_is_theirs_after_a_crash_too", appears),
        test("crashed::what_has_appeared_as_the_run_was_to_make_it_is_not_called_clean", alike),
        test("crashed::a_decision_that_is_about_no_object_of_the_run_is_refused", undecidable),
        test("crashed::a_run_of_another_boot_is_in_nobodys_way", of_another_boot),
        test("crashed::what_did_not_end_is_discarded_once", discards),
        test("crashed::a_damaged_journal_gives_way_to_the_ledger", to_ledger),
    ]
}

/// All but the last step of a run towards the second state have happened.
fn nearly_done(world: &mut World, case: &Case, records: &Folder) {
    let (_, _, phases) = case.second.plan(records.path(), &mut world.kernel);
    let steps: usize = phases.iter().map(|phase| phase.steps.len()).sum();
    assert!(!strike(records.path(), &case.second, Death::Step(steps - 1)));
}

#[track_caller]
fn recover(records: &Folder, more: &[&str], code: i32) -> (String, String) {
    let mut command = lvsform(&format!("recover --state-dir {}", records.path().display()));
    command.args(more);
    run(command, code)
}

fn decides(world: &mut World) {
    let (case, records) = shop(world);
    let seen = case.seen(world);
    nearly_done(world, &case, &records);
    // Changed and made: each an object of the run. And one that they put into a service which the run made. What they delete
    // as the run itself does on its way, to put it in order, is put back.
    hand::feed(
        "ipvsadm",
        "-R",
        "-e -t 10.0.0.100:80 -r 10.0.0.12:80 -g -w 777
         -d -t 10.0.0.100:80 -r 10.0.0.13:80
         -A -t 10.0.0.100:81 -s lblc
         -a -t 10.0.0.102:82 -r 10.0.0.99:82 -m -w 9
",
    );
    let (_, err) = recover(&records, &[], 9);
    let theirs = [
        "server tcp 10.0.0.100:80 10.0.0.12:80",
        "service tcp 10.0.0.100:81",
        "server tcp 10.0.0.100:81 10.0.0.11:81",
        "service tcp 10.0.0.102:82",
    ];
    says(&err, &theirs);
    says(&err, &["but for 4 objects", "10.0.0.99:82"]);
    let table = witness::table(world);
    let there = |line: &str| table.iter().any(|found| found.starts_with(line));
    for line in [
        "-a -t 10.0.0.100:80 -r 10.0.0.12:80 -g -w 777",
        "-A -t 10.0.0.100:81 -s lblc",
        "-A -t 10.0.0.102:82",
        "-a -t 10.0.0.102:82 -r 10.0.0.99:82 -m -w 9",
        "-a -t 10.0.0.100:80 -r 10.0.0.11:80 -g -w 10",
        "-a -t 10.0.0.100:80 -r 10.0.0.13:80 -g -w 10",
    ] {
        assert!(there(line), "no `{line}` in {table:#?}");
    }
    for line in ["-a -t 10.0.0.100:81", "-a -t 10.0.0.100:80 -r 10.0.0.10"] {
        assert!(!there(line), "`{line}` in {table:#?}");
    }
    // Until somebody decides, nothing else is done.
    let (_, err) =
        run(lvsform(&format!("apply examples/flash-sale.kdl --host lb1 --yes --state-dir {}", records.path().display())), 9);
    says(&err, &theirs);
    assert_eq!(witness::table(world), table);
    // One by one; what was decided is remembered.
    let (_, err) = recover(&records, &["--ours", theirs[0], "--theirs", theirs[3]], 9);
    says(&err, &["but for 2 objects"]);
    recover(&records, &["--ours", "nonsense"], 64);
    let (out, _) = recover(&records, &["--ours", theirs[1]], 0);
    says(&out, &["was taken back"]);
    hand::run("ipvsadm", "-D -t 10.0.0.102:82");
    assert_eq!(case.seen(world), seen);
}

/// A server that the run only edits, and somebody takes away.
fn deleted(world: &mut World) {
    let (case, records) = shop(world);
    let (_, second) = goal(&FIRST.replace("weight=1;", "weight=5;").replace("vip \"b\" address=\"192.0.2.101\"", ""));
    let Case { name, first, .. } = case;
    let case = Case::new(&name, first, second, goal(FIRST).0);
    let seen = case.seen(world);
    nearly_done(world, &case, &records);
    hand::run("ipvsadm", "-d -t 10.0.0.100:81 -r 10.0.0.11:81");
    let server = "server tcp 10.0.0.100:81 10.0.0.11:81";
    let (_, err) = recover(&records, &[], 9);
    says(&err, &[server, "it was there before, and is gone: someone else", "but for one object"]);
    assert!(!witness::table(world).join("\n").contains("10.0.0.11:81"));
    recover(&records, &["--ours", server], 0);
    assert_eq!(case.seen(world), seen);
}

fn any_object(_: &mut World) {
    let there = Case::example("examples/flash-sale.kdl", "lb1");
    any_object_of(there, false);
    any_object_of(Case::example("examples/flash-sale.kdl", "lb1"), true);
}

/// Each service and server of a run, one after the other, is written by somebody else after the run died.
fn any_object_of(case: Case, back: bool) {
    let mut world = World::new();
    let records = Folder::new();
    case.start(&mut world, records.path());
    let case = if back {
        assert!(matches!(case.second.run(records.path(), &mut world.kernel), Ended::Applied));
        case.turned()
    } else {
        case
    };
    let (scope, _, phases) = case.second.plan(records.path(), &mut world.kernel);
    let before = recorded::held(&mut world.kernel, &scope);
    let steps = phases.iter().flat_map(|phase| &phase.steps);
    let keys: std::collections::BTreeSet<Key> = steps.map(|step| step.key.clone()).collect();
    for key in keys {
        let value = case.first.wanted.objects.get(&key).or(case.second.wanted.objects.get(&key)).cloned();
        let Some(foreign) = value.and_then(changed) else { continue };
        nearly_done(&mut world, &case, &records);
        let now = recorded::held(&mut world.kernel, &scope).objects.get(&key).cloned();
        let outcome = world.run(vec![Change { key: key.clone(), before: now, after: Some(foreign.clone()) }]).remove(0);
        // A server whose service is gone cannot be made by anybody.
        let written = outcome == Outcome::Done;
        let recovered = recorded::recover(records.path(), &mut world.kernel).expect("a run that did not end");
        let now = recorded::held(&mut world.kernel, &scope);
        if written {
            let Recovered::Incomplete(left) = &recovered else { panic!("{key}: {recovered:?}") };
            assert!(left.iter().any(|left| left.key == key), "{key}: {left:?}");
            assert_eq!(now.objects.get(&key), Some(&foreign), "{key}: theirs stays");
            let named: Vec<&Key> = left.iter().map(|left| &left.key).collect();
            for other in recorded::differences(&before, &now) {
                // What is in their service is theirs to keep, and goes without saying.
                let inside =
                    matches!((&key, &other), (Key::Service(service), Key::Destination(server)) if server.service == *service);
                assert!(named.contains(&&other) || inside, "{key}: {other} is not as it was, and not named: {left:?}");
            }
            let mut store = records.store();
            let unfinished = journal::unfinished(&store).expect("a journal").expect("a run");
            for left in left {
                unfinished.journal.mark_decided(&mut store, left.key.clone(), true).expect("a mark");
            }
            let recovered = recorded::recover(records.path(), &mut world.kernel).expect("a run that did not end");
            assert!(matches!(recovered, Recovered::TakenBack), "{key}: {recovered:?}");
        }
        let now = recorded::held(&mut world.kernel, &scope);
        assert!(now == before, "{key}\n{}", recorded::shown(&before, &now));
    }
}

/// Another value than any that a run of ours gives.
fn changed(resource: Resource) -> Option<Resource> {
    match resource {
        Resource::Destination(mut server) => {
            server.weight = Weight::Owned(777);
            Some(Resource::Destination(server))
        }
        Resource::Service(mut service) => {
            "lblc".clone_into(&mut service.scheduler);
            Some(Resource::Service(service))
        }
        _ => None,
    }
}

fn appears(world: &mut World) {
    let (director, first) = goal(FIRST);
    director.plug_in(world);
    let records = Folder::new();
    let key: Key = "service tcp 10.0.0.100:80".parse().expect("a key");
    // Exactly what the run is to make.
    let write = || hand::run("ipvsadm", "-A -t 10.0.0.100:80 -s sh");
    let mut meddled = Meddled { kernel: &mut world.kernel, before: Rank::ServicesAdded, write: Some(Box::new(write)) };
    let ended = first.run(records.path(), &mut meddled);
    drop(meddled);
    let Ended::Incomplete(_, left) = ended else { panic!("{ended:?}") };
    assert!(left.len() == 1 && left[0].key == key && left[0].why == Why::SomebodyElse, "{left:?}");
    let recovered = recorded::recover(records.path(), &mut world.kernel);
    assert!(matches!(&recovered, Some(Recovered::Incomplete(left)) if left.len() == 1), "{recovered:?}");
    assert_eq!(witness::table(world), ["-A -t 10.0.0.100:80 -s sh"]);
    recover(&records, &["--theirs", &key.to_string()], 0);
    assert_eq!(witness::table(world), ["-A -t 10.0.0.100:80 -s sh"]);
    assert!(records.is_tidy());
}

/// The run died before it came to its VIP, and somebody made that since.
fn alike(world: &mut World) {
    let (first, records) = half_done(world);
    world.witness("ip", "addr add 10.0.0.102/32 dev eth0");
    let (_, err) = recover(&records, &[], 9);
    says(&err, &["vip 10.0.0.102 eth0", "but for one object"]);
    assert!(witness::addresses(world).contains(&"10.0.0.102/32 eth0".to_owned()));
    recover(&records, &["--theirs", "vip 10.0.0.102 eth0"], 0);
    assert!(witness::addresses(world).contains(&"10.0.0.102/32 eth0".to_owned()));
    assert_eq!(first.finds(&mut world.kernel), Vec::<String>::new());
}

fn undecidable(world: &mut World) {
    let (case, records) = shop(world);
    let there = "server tcp 10.0.0.100:80 10.0.0.12:80";
    for option in ["--ours", "--theirs"] {
        let (_, err) = recover(&records, &[option, there], 64);
        says(&err, &["every run has ended", &format!("`{option} {there}`"), "nothing was changed", "lvsform plan"]);
    }
    let before = case.seen(world);
    nearly_done(world, &case, &records);
    let half = case.seen(world);
    for option in ["--ours", "--theirs"] {
        let (_, err) = recover(&records, &[option, "nonsense"], 64);
        says(&err, &["`nonsense` names no object", "nothing was changed", "the run of topology `shop` is about these:", there]);
        let (_, err) = recover(&records, &[option, "server tcp 10.0.0.100:80 10.0.0.12"], 64);
        says(&err, &["names no object", &format!("did you mean `{there}`?")]);
        let (_, err) = recover(&records, &[option, there, option, "server tcp 10.0.0.100:80 10.0.0.99:80"], 64);
        says(
            &err,
            &["the run of topology `shop` did nothing to server tcp 10.0.0.100:80 10.0.0.99:80", "nothing was changed", there],
        );
    }
    let (_, err) = recover(&records, &["--ours", there, "--theirs", there], 64);
    says(&err, &[there, "both", "nothing was changed"]);
    assert_eq!(case.seen(world), half);
    hand::run("ipvsadm", "-e -t 10.0.0.100:80 -r 10.0.0.12:80 -g -w 777");
    let (_, err) = recover(&records, &[], 9);
    says(&err, &["but for one object", there]); // what was refused was not decided
    recover(&records, &["--ours", there], 0);
    assert_eq!(case.seen(world), before);
}

/// The same records, as if the boot of the run were over.
fn ends_its_boot(records: &Folder) -> Journal {
    let mut store = records.store();
    let mut journal = journal::unfinished(&store).expect("a journal").expect("a run").journal;
    "another".clone_into(&mut journal.instance.boot);
    journal.begin(&mut store, None, None).expect("a record");
    journal
}

fn of_another_boot(world: &mut World) {
    let (case, records) = shop(world);
    nearly_done(world, &case, &records);
    let other = owned::shop(&[owned::service("mail", 25, "\"10.0.0.11\"")]);
    let other = other.replace("topology \"shop\"", "topology \"other\"").replace("10.0.0.100", "10.0.0.200");
    let file = File::new("other.kdl", other.as_bytes());
    let line = |verb: &str, more: &str| {
        lvsform(&format!("{verb} {} --host lb1 --state-dir {}{more}", file.path(), records.path().display()))
    };
    let (_, err) = run(line("apply", " --expect 00000000000000000000000000000000"), 9);
    says(&err, &["an earlier run did not end", "lvsform recover"]);
    let journal = ends_its_boot(&records);
    // There is nobody to ask; but that is all.
    for command in [line("apply", ""), lvsform(&format!("destroy shop --state-dir {}", records.path().display()))] {
        let (_, err) = run(command, 1);
        says(&err, &["there is no terminal to ask on"]);
    }
    let key = "server tcp 10.0.0.100:80 10.0.0.12:80";
    let (_, err) = recover(&records, &["--ours", key], 64);
    says(&err, &["went with its boot or namespace", "lvsform recover"]);
    let (out, err) = run(line("apply", " --expect 00000000000000000000000000000000"), 6);
    says(&out, &["was in another boot or namespace"]);
    says(&err, &["this is not the plan that was approved"]);
    assert!(records.is_tidy());
    journal.begin(&mut records.store(), None, None).expect("a record");
    let (out, _) = run(line("adopt", ""), 0);
    says(&out, &["was in another boot or namespace", "Adopted: "]);
    assert!(records.is_tidy());
}

fn discards(world: &mut World) {
    let (case, records) = shop(world);
    let (out, _) = recover(&records, &["--discard"], 0);
    assert_eq!(out, "Nothing to discard: every run has ended.\n");
    nearly_done(world, &case, &records);
    let half = case.seen(world);
    let path = journal::journal_path(&records.store());
    let whole = std::fs::read(&path).expect("a journal");
    for bytes in [&whole[..], &whole[..whole.len() - 7]] {
        std::fs::write(&path, bytes).expect("our own file");
        let (out, _) = recover(&records, &["--discard"], 0);
        says(&out, &["Discarded: the run that had not ended is forgotten", "lvsform plan"]);
        assert_eq!(case.seen(world), half);
        assert!(records.is_tidy());
    }
    let (out, _) = recover(&records, &["--discard"], 0);
    says(&out, &["Nothing to discard"]);
}

fn to_ledger(world: &mut World) {
    let (case, records) = shop(world);
    let (first, _): (Director, _) = goal(FIRST);
    hand::feed("ipvsadm", "-R", "-A -t 10.0.0.9:25 -s rr\n-a -t 10.0.0.9:25 -r 10.0.0.30:25 -m\n");
    nearly_done(world, &case, &records);
    let path = journal::journal_path(&records.store());
    let whole = std::fs::read(&path).expect("a journal");
    std::fs::write(&path, &whole[..whole.len() - 7]).expect("our own file");
    let (_, err) = recover(&records, &[], 9);
    says(&err, &["is damaged", "--to-ledger"]);
    let (out, _) = recover(&records, &["--to-ledger"], 0);
    says(&out, &["as their ledgers say", "  service tcp 10.0.0.102:82\n", "  vip 10.0.0.102 eth0\n", "lvsform apply"]);
    assert_eq!(first.finds(&mut world.kernel), Vec::<String>::new(), "all that the ledger has is as it says");
    assert!(records.is_tidy());
    let table = witness::table(world).join("\n");
    says(&table, &["-A -t 10.0.0.102:82", "-A -t 10.0.0.9:25 -s rr", "-r 10.0.0.30:25 -m"]);
    let (out, _) = recover(&records, &[], 0);
    says(&out, &["Nothing to recover"]);
}
