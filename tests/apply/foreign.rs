//! Somebody else writes too: what is theirs is left alone, and what became theirs meanwhile is named.

use libtest_mimic::Trial;
use lvsform::plan::Rank;
use lvsform::state::{Key, ServiceKey};
use lvsform::txn::{Ended, Failure, Left, Why};

use crate::director::{Director, WHOLE};
use crate::world::{World, key, test};
use crate::wrap::{Fate, Faulty, Meddled};
use crate::{hand, witness};

pub fn tests() -> Vec<Trial> {
    vec![
        test("foreign::what_others_made_before_stays_through_apply_drift_and_rollback", untouched),
        test("foreign::with_exclusive_ownership_their_services_go_and_nothing_else", exclusive),
        test("foreign::a_service_that_appears_under_our_key_is_not_deleted", service_appears),
        test("foreign::a_vip_that_appears_under_our_key_is_not_deleted", vip_appears),
        test("foreign::a_server_that_appears_in_a_new_service_keeps_the_service", server_appears),
        test("foreign::a_server_that_appears_under_our_key_in_a_new_service_keeps_both", server_appears_under_our_key),
        test("foreign::a_server_that_is_edited_after_we_made_it_is_left_as_it_is", server_edited),
        test("foreign::a_server_that_goes_before_it_is_edited_stays_gone", server_goes),
        test("foreign::a_service_of_an_example_that_appears_is_found_after_the_run", appears_elsewhere),
    ]
}

/// What somebody made: services, also one beside ours on our VIP, a server in a service of ours, addresses, a device.
const THEIRS: [&str; 6] = [
    "-A -t 10.0.0.100:8080 -s lblc",
    "-A -t 192.0.2.80:80 -s sh -b sh-port",
    "-A -f 9 -6 -s rr -p 77",
    "-a -f 9 -6 -r [2001:db8:1::99]:0 -i -w 5 --tun-type ipip",
    "-a -t 10.0.0.100:8080 -r 10.0.0.99:8080 -g -w 8",
    "-a -t 192.0.2.80:80 -r 10.0.0.99:8443 -m -w 9",
];

fn make_theirs() {
    hand::feed("ipvsadm", "-R", &(THEIRS.join("\n") + "\n"));
    hand::feed(
        "ip",
        "-batch -",
        "link add theirs type dummy\nlink set theirs up\naddr add 10.0.0.7/24 dev eth0\naddr add 192.0.2.80/32 dev theirs\n",
    );
    std::fs::write("/proc/sys/net/ipv4/vs/sloppy_tcp", "1").expect("a sysctl");
}

/// Nothing of it is lost or changed.
#[track_caller]
fn theirs_stand(world: &World) {
    let table = witness::table(world);
    for line in THEIRS {
        assert!(table.contains(&line.to_owned()), "no `{line}` in {table:#?}");
    }
    let addresses = witness::addresses(world);
    for line in ["10.0.0.7/24 eth0", "192.0.2.80/32 theirs"] {
        assert!(addresses.contains(&line.to_owned()), "no `{line}` in {addresses:#?}");
    }
    assert_eq!(witness::sysctl("net/ipv4/vs/sloppy_tcp").as_deref(), Some("1"));
}

fn untouched(world: &mut World) {
    let director = Director::of(WHOLE, "lb1");
    director.plug_in(world);
    make_theirs();
    let before = witness::everything(world, &director);

    // A run that fails at its last step.
    let observed = director.read(&mut world.kernel);
    let plan = director.plan_from(&observed);
    let last = plan.phases.iter().map(|phase| phase.steps.len()).sum::<usize>() - 1;
    let mut faulty = Faulty::new(&mut world.kernel, &[(last, Fate::Refused)]);
    let ended = director.carry_out(&mut faulty, &observed, &plan);
    assert!(matches!(ended, Ended::RolledBack(_)), "{}", director.words(&ended));
    assert_eq!(witness::everything(world, &director), before);

    director.apply_all(&mut world.kernel);
    theirs_stand(world);

    // Beside a server of theirs in a service of ours, and one in a hash, whose order is ours alone.
    hand::feed(
        "ipvsadm",
        "-R",
        "-a -t 10.0.0.100:80 -r 10.0.0.98:80 -g -w 2
         -a -t 10.0.0.100:81 -r 10.0.0.98:81 -g -w 2
         -d -t 10.0.0.100:81 -r 10.0.0.11:81
         -e -t 10.0.0.100:80 -r 10.0.0.11:80 -g -w 9
         -E -t 10.0.0.100:82 -s rr
",
    );
    director.apply_all(&mut world.kernel);
    theirs_stand(world);
    let table = witness::table(world);
    for line in ["-a -t 10.0.0.100:80 -r 10.0.0.98:80 -g -w 2", "-a -t 10.0.0.100:81 -r 10.0.0.98:81 -g -w 2"] {
        assert!(table.contains(&line.to_owned()), "no `{line}` in {table:#?}");
    }
}

fn exclusive(world: &mut World) {
    let director = Director::of("examples/flash-sale.kdl", "lb1");
    director.plug_in(world);
    make_theirs();
    let found = director.finds(&mut world.kernel);
    let deleted = ["service tcp 10.0.0.100:8080: delete", "service tcp 192.0.2.80:80: delete", "service fwmark 9 ipv6: delete"];
    for line in deleted {
        assert!(found.contains(&line.to_owned()), "no `{line}` in {found:#?}");
    }
    director.apply_all(&mut world.kernel);
    let table = witness::table(world);
    assert!(table.iter().all(|line| line.contains("10.0.0.100:443") || line.contains("10.0.0.100:80 ")), "{table:#?}");
    let addresses = witness::addresses(world);
    assert_eq!(addresses, ["10.0.0.100/32 eth0", "10.0.0.2/24 eth0", "10.0.0.7/24 eth0", "192.0.2.80/32 theirs"]);
    assert_eq!(witness::sysctl("net/ipv4/vs/sloppy_tcp").as_deref(), Some("1"));
}

/// Applies while somebody writes just before a rank, with these steps not going well.
fn while_someone_writes(
    world: &mut World,
    director: &Director,
    before: Rank,
    fates: &[(usize, Fate)],
    write: impl FnOnce(),
) -> Ended {
    let observed = director.read(&mut world.kernel);
    let plan = director.plan_from(&observed);
    let mut faulty = Faulty::new(&mut world.kernel, fates);
    let mut kernel = Meddled { kernel: &mut faulty, before, write: Some(Box::new(write)) };
    director.carry_out(&mut kernel, &observed, &plan)
}

/// The number of the step that adds a key in the plan from now.
fn step_of(world: &mut World, director: &Director, text: &str) -> usize {
    let plan = director.plan_from(&director.read(&mut world.kernel));
    let wanted = key(text);
    plan.phases.iter().flat_map(|phase| &phase.steps).position(|step| step.key == wanted).expect("a step of the plan")
}

fn ipvsadm(arguments: &str) {
    hand::run("ipvsadm", arguments);
}

#[track_caller]
fn incomplete<'a>(director: &Director, ended: &'a Ended) -> (&'a Failure, &'a [Left]) {
    match ended {
        Ended::Incomplete(failure, left) => (failure, left),
        _ => panic!("expected an incomplete run: {}", director.words(ended)),
    }
}

fn service_appears(world: &mut World) {
    let director = Director::of("examples/flash-sale.kdl", "lb1");
    director.plug_in(world);
    let ended = while_someone_writes(world, &director, Rank::ServicesAdded, &[], || {
        ipvsadm("-A -t 10.0.0.100:443 -s rr");
        ipvsadm("-a -t 10.0.0.100:443 -r 10.0.0.77:443 -m -w 3");
    });
    let words = director.words(&ended);
    let (failure, left) = incomplete(&director, &ended);
    assert!(matches!(failure, Failure::Refused(refused) if refused.len() == 1), "{words}");
    let keys: Vec<&Key> = left.iter().map(|left| &left.key).collect();
    assert_eq!(keys, [&key("service tcp 10.0.0.100:443")], "{words}");
    for part in ["to add service shop", "EEXIST", "someone else is writing", "Rolled back, but for one object", "left alone"] {
        assert!(words.contains(part), "no `{part}` in {words}");
    }
    assert_eq!(
        witness::table(world),
        ["-A -t 10.0.0.100:443 -s rr", "-a -t 10.0.0.100:443 -r 10.0.0.77:443 -m -w 3"],
        "theirs stands as they made it, and of ours nothing is left"
    );
    assert_eq!(witness::addresses(world), ["10.0.0.2/24 eth0"]);
}

fn vip_appears(world: &mut World) {
    let director = Director::of("examples/flash-sale.kdl", "lb1");
    director.plug_in(world);
    let ended = while_someone_writes(world, &director, Rank::Vips, &[], || hand::run("ip", "addr add 10.0.0.100/32 dev eth0"));
    let (_, left) = incomplete(&director, &ended);
    assert_eq!(left.iter().map(|left| left.key.to_string()).collect::<Vec<_>>(), ["vip 10.0.0.100 eth0"]);
    assert_eq!(witness::addresses(world), ["10.0.0.100/32 eth0", "10.0.0.2/24 eth0"]);
    assert!(witness::table(world).is_empty());
}

fn server_appears(world: &mut World) {
    let director = Director::of("examples/flash-sale.kdl", "lb1");
    director.plug_in(world);
    let vip = step_of(world, &director, "vip 10.0.0.100 eth0");
    let ended = while_someone_writes(world, &director, Rank::Vips, &[(vip, Fate::Refused)], || {
        ipvsadm("-a -t 10.0.0.100:443 -r 10.0.0.77:443 -g -w 3");
    });
    let words = director.words(&ended);
    let (_, left) = incomplete(&director, &ended);
    let shop = key("service tcp 10.0.0.100:443");
    let theirs = key("server tcp 10.0.0.100:443 10.0.0.77:443");
    assert_eq!(left.len(), 1, "{words}");
    assert_eq!((&left[0].key, &left[0].why), (&shop, &Why::Children(vec![theirs])), "{words}");
    assert!(words.contains("server tcp 10.0.0.100:443 10.0.0.77:443"), "{words}");
    assert_eq!(
        witness::table(world),
        ["-A -t 10.0.0.100:443 -s wlc", "-a -t 10.0.0.100:443 -r 10.0.0.77:443 -g -w 3"],
        "our own servers of it are gone, theirs is not"
    );
}

fn server_appears_under_our_key(world: &mut World) {
    let director = Director::of("examples/flash-sale.kdl", "lb1");
    director.plug_in(world);
    let ended = while_someone_writes(world, &director, Rank::DestinationsAdded, &[], || {
        ipvsadm("-a -t 10.0.0.100:443 -r 10.0.0.12:443 -m -w 3");
    });
    let words = director.words(&ended);
    let (_, left) = incomplete(&director, &ended);
    let keys: Vec<String> = left.iter().map(|left| left.key.to_string()).collect();
    assert_eq!(keys, ["service tcp 10.0.0.100:443", "server tcp 10.0.0.100:443 10.0.0.12:443"], "{words}");
    let table = ["-A -t 10.0.0.100:443 -s wlc", "-a -t 10.0.0.100:443 -r 10.0.0.12:443 -m -w 3"];
    assert_eq!(witness::table(world), table, "{words}");
}

fn server_edited(world: &mut World) {
    let director = Director::of("examples/flash-sale.kdl", "lb1");
    director.plug_in(world);
    let vip = step_of(world, &director, "vip 10.0.0.100 eth0");
    let ended = while_someone_writes(world, &director, Rank::Vips, &[(vip, Fate::Refused)], || {
        ipvsadm("-e -t 10.0.0.100:80 -r 10.0.0.12:80 -g -w 1");
    });
    let words = director.words(&ended);
    let (_, left) = incomplete(&director, &ended);
    assert!(left.iter().any(|left| left.key == key("server tcp 10.0.0.100:80 10.0.0.12:80") && left.why == Why::SomebodyElse));
    let table = witness::table(world);
    assert_eq!(table, ["-A -t 10.0.0.100:80 -s wrr", "-a -t 10.0.0.100:80 -r 10.0.0.12:80 -g -w 1"], "{words}");
}

fn server_goes(world: &mut World) {
    let director = Director::of("examples/flash-sale.kdl", "lb1");
    director.plug_in(world);
    director.apply_all(&mut world.kernel);
    ipvsadm("-e -t 10.0.0.100:80 -r 10.0.0.12:80 -g -w 1");
    ipvsadm("--set 77 0 0");
    let ended = while_someone_writes(world, &director, Rank::DestinationsRaised, &[], || {
        ipvsadm("-d -t 10.0.0.100:80 -r 10.0.0.12:80");
    });
    let words = director.words(&ended);
    let (_, left) = incomplete(&director, &ended);
    assert_eq!(left.len(), 1, "{words}");
    assert_eq!(left[0].key, key("server tcp 10.0.0.100:80 10.0.0.12:80"));
    assert!(words.contains("ENOENT") && words.contains("was there when the plan was made, and is gone"), "{words}");
    assert!(!witness::table(world).iter().any(|line| line.contains("10.0.0.12:80 ")), "it is not put back");
    assert!(world.witness("ipvsadm", "-Ln --timeout").contains(": 77 "), "the timeouts are as they were before the run");
}

/// Others may write beside a run; it is no failure.
fn appears_elsewhere(world: &mut World) {
    let director = Director::of("examples/api-gateway.kdl", "lb1");
    director.plug_in(world);
    let ended = while_someone_writes(world, &director, Rank::DestinationsAdded, &[], || {
        ipvsadm("-A -t 192.0.2.80:80 -s rr");
        ipvsadm("-a -f 7 -r 10.2.0.99:0 -m -w 3");
    });
    assert!(matches!(ended, Ended::Applied), "{}", director.words(&ended));
    witness::agree(world, &director, &["-A -t 192.0.2.80:80 -s rr", "-a -f 7 -r 10.2.0.99:0 -m -w 3"]);
    let service =
        Key::Service(ServiceKey::Tuple { protocol: lvsform::state::Protocol::Tcp, address: [192, 0, 2, 80].into(), port: 80 });
    assert!(director.read(&mut world.kernel).state.objects.contains_key(&service));
}
