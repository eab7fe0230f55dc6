//! What a topology owns: what leaves the file goes, what was found is given back, what others made is never touched.

use std::path::PathBuf;

use libtest_mimic::Trial;
use lvsform::txn::history;
use lvsform::txn::journal::{Intent, Journal};
use lvsform::txn::ledger::Ledger;

use crate::command::{File, lvsform, run, says};
use crate::world::{World, test};
use crate::{hand, recorded, witness};

pub fn tests() -> Vec<Trial> {
    vec![
        test("owned::what_leaves_the_file_goes_and_what_others_made_stays", leaves),
        test("owned::destroy_gives_back_everything_as_it_was_found", destroy),
        test("owned::what_was_found_and_adopted_goes_with_the_topology", adopted),
        test("owned::a_service_that_leaves_stays_while_others_have_a_server_in_it", guests),
        test("owned::an_address_that_would_take_another_along_stays", one_subnet),
        test("owned::a_tunnel_gets_another_address_of_its_subnet", another_of_its_subnet),
        test("owned::an_object_of_another_topology_is_refused_by_name", claimed),
        test("owned::a_value_that_two_topologies_share_goes_back_with_the_last", shared),
        test("owned::a_renamed_topology_keeps_what_it_owns", renamed),
        test("owned::adopt_renames_as_apply_does", renamed_by_adopt),
        test("owned::adopt_tidies_a_run_that_was_done", adopt_tidies),
        test("owned::a_topology_that_takes_a_former_name_is_another_one", former_name),
        test("owned::a_ledger_that_others_could_write_is_refused", unsafe_ledger),
        test("owned::a_damaged_ledger_is_said_and_nothing_is_done", damaged_ledger),
        test("owned::rules_forbid_a_plan_before_anything_is_touched", rules),
        test("owned::protect_outlives_its_block", protect),
        test("owned::a_namespace_stays_the_same_host_of_a_topology", same_host),
        test("owned::whatever_kind_leaves_the_file_goes", every_kind),
        test("owned::an_approved_digest_is_exactly_that_plan_or_nothing", expect),
        test("owned::nothing_beside_the_plan_moves_the_digest", steady_digest),
        test("owned::drift_shows_what_moved_and_needs_no_file", drift),
        test("owned::every_run_is_in_the_history", history),
    ]
}

/// A folder for records, and a file to change.
pub struct Site {
    pub file: File,
    pub records: PathBuf,
}

impl Site {
    pub fn new(text: &str) -> Site {
        let file = File::new("shop.kdl", text.as_bytes());
        let records = PathBuf::from(file.path().into_owned()).with_file_name("records");
        Site { file, records }
    }

    pub fn write(&self, text: &str) {
        std::fs::write(&*self.file.path(), text).expect("our own file");
    }

    /// `apply FILE --yes`, and the like.
    #[track_caller]
    pub fn run(&self, verb: &str, more: &str, code: i32) -> (String, String) {
        run(self.command(verb, more), code)
    }

    fn command(&self, verb: &str, more: &str) -> std::process::Command {
        let records = self.records.display();
        let file = if matches!(verb, "destroy" | "recover" | "revert" | "confirm" | "resume" | "history" | "drift") {
            String::new()
        } else {
            format!(" {} --host lb1", self.file.path())
        };
        let more = if more.is_empty() { String::new() } else { format!(" {more}") };
        lvsform(&format!("{verb}{file} --state-dir {records}{more}"))
    }

    pub fn ledger(&self, topology: &str) -> PathBuf {
        let namespace = std::fs::read_dir(&self.records).expect("records").flatten().next().expect("a namespace").path();
        namespace.join("ledger").join(format!("{topology}.ledger"))
    }
}

const HOST: &str = r#"
director "lb1" { interface "eth0" address="10.0.0.2/24"; }
vip "shop" address="10.0.0.100"
"#;

pub fn service(name: &str, port: u16, servers: &str) -> String {
    format!("service \"{name}\" {{ listen vip=\"shop\" port={port}; forward \"dr\"; server {servers} weight=10; }}\n")
}

pub fn shop(services: &[String]) -> String {
    format!("topology \"shop\"{HOST}{}", services.concat())
}

pub fn plug_in(world: &World) {
    world.witness("ip", "link add eth0 type dummy");
    world.witness("ip", "link set eth0 up");
    world.witness("ip", "addr add 10.0.0.2/24 dev eth0");
}

fn leaves(world: &mut World) {
    plug_in(world);
    hand::feed("ipvsadm", "-R", "-A -t 10.0.0.9:25 -s rr\n-a -t 10.0.0.9:25 -r 10.0.0.30:25 -m\n");
    let site = Site::new(&shop(&[service("web", 80, "\"10.0.0.[11-13]\""), service("tls", 443, "\"10.0.0.11\"")]));
    site.run("apply", "--yes", 0);
    site.write(&shop(&[service("web", 80, "\"10.0.0.[11-12]\"")]));
    let (out, _) = site.run("plan", "--exit-code", 2);
    says(&out, &["- server web 10.0.0.13", "- service tls", "no longer in the file", "0 to add, 0 to change, 3 to delete"]);
    site.run("apply", "--yes", 0);
    let table = witness::table(world).join("\n");
    says(&table, &["-A -t 10.0.0.9:25 -s rr", "-r 10.0.0.30:25 -m", "-r 10.0.0.12:80"]);
    assert!(!table.contains("10.0.0.13") && !table.contains(":443"), "{table}");
    site.run("plan", "--exit-code", 0);
}

fn destroy(world: &mut World) {
    plug_in(world);
    hand::feed("ipvsadm", "-R", "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.0.0.11:80 -g -w 3\n");
    std::fs::write("/proc/sys/net/ipv4/vs/expire_quiescent_template", "0").expect("a sysctl");
    let before = (witness::table(world), witness::addresses(world));
    let text = shop(&[service("web", 80, "\"10.0.0.[11-13]\""), service("tls", 443, "\"10.0.0.11\"")]);
    let site =
        Site::new(&text.replace("interface \"eth0\"", "sysctl \"net.ipv4.vs.expire_quiescent_template\" 1; interface \"eth0\""));
    site.run("apply", "--yes", 0);
    assert_eq!(witness::sysctl("net/ipv4/vs/expire_quiescent_template").as_deref(), Some("1"));
    let (out, _) = site.run("destroy", "shop --yes", 0);
    says(&out, &["- service tls", "~ service web", "scheduler", "wlc → rr", "by the ledger"]);
    assert!(!out.contains("in the file"), "nobody spoke of a file:\n{out}");
    assert_eq!((witness::table(world), witness::addresses(world)), before);
    assert_eq!(witness::sysctl("net/ipv4/vs/expire_quiescent_template").as_deref(), Some("0"));
    assert!(!site.ledger("shop").exists());
    let (_, err) = site.run("destroy", "shop --yes", 64);
    says(&err, &["topology `shop` owns nothing here"]);
}

fn adopted(world: &mut World) {
    plug_in(world);
    hand::feed("ipvsadm", "-R", "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.0.0.11:80 -g -w 3\n");
    let before = witness::table(world);
    let site = Site::new(&shop(&[service("web", 80, "\"10.0.0.11\"")]));
    let (out, _) = site.run("adopt", "", 0);
    says(&out, &["Adopted: 2."]);
    assert_eq!(witness::table(world), before, "adopting changes nothing");
    site.run("apply", "--yes", 0);
    site.run("destroy", "shop --yes", 0);
    assert!(witness::table(world).is_empty(), "what was adopted goes too");
}

fn guests(world: &mut World) {
    plug_in(world);
    let site = Site::new(&shop(&[service("web", 80, "\"10.0.0.11\""), service("tls", 443, "\"10.0.0.11\"")]));
    site.run("apply", "--yes", 0);
    hand::run("ipvsadm", "-a -t 10.0.0.100:443 -r 10.0.0.77:443 -g -w 7");
    site.write(&shop(&[service("web", 80, "\"10.0.0.11\"")]));
    let (out, _) = site.run("apply", "--yes", 0);
    says(&out, &["- server tls 10.0.0.11", "service tcp 10.0.0.100:443 is to go", "10.0.0.77:443"]);
    let table = witness::table(world).join("\n");
    says(&table, &["-A -t 10.0.0.100:443", "-a -t 10.0.0.100:443 -r 10.0.0.77:443 -g -w 7"]);
    assert!(!table.contains("10.0.0.100:443 -r 10.0.0.11:443"), "{table}");
}

fn one_subnet(world: &mut World) {
    plug_in(world);
    let with = |address: &str| {
        shop(&[service("web", 80, "\"10.0.0.11\"")]).replace(
            "address=\"10.0.0.2/24\";",
            &format!("address=\"10.0.0.2/24\"; tunnel \"far\" kind=\"ipip\" remote=\"192.0.2.9\" {{ {address}; }};"),
        )
    };
    let site = Site::new(&with("address \"172.16.0.1/24\""));
    site.run("apply", "--yes", 0);
    hand::run("ip", "addr add 172.16.0.7/24 dev far");
    site.write(&with("address \"172.17.0.1/24\""));
    let (out, _) = site.run("apply", "--yes", 0);
    says(&out, &["Left alone: address 172.16.0.1/24 far is to go", "172.16.0.7/24"]);
    let addresses = witness::addresses(world).join("\n");
    says(&addresses, &["172.16.0.7/24 far", "172.17.0.1/24 far"]);
}

fn another_of_its_subnet(world: &mut World) {
    plug_in(world);
    let with = |address: &str| {
        let tunnel = format!("tunnel \"far\" kind=\"ipip\" remote=\"192.0.2.9\" {{ address \"{address}\"; }};");
        shop(&[service("web", 80, "\"10.0.0.11\"")])
            .replace("address=\"10.0.0.2/24\";", &format!("address=\"10.0.0.2/24\"; {tunnel}"))
    };
    let site = Site::new(&with("172.16.0.1/30"));
    for address in ["172.16.0.1/30", "172.16.0.2/30", "172.16.0.1/30"] {
        site.write(&with(address));
        site.run("apply", "--yes", 0);
        assert_eq!(
            witness::addresses(world).iter().filter(|line| line.ends_with(" far")).collect::<Vec<_>>(),
            [&format!("{address} far")]
        );
    }
    site.run("revert", "shop --yes", 0);
    says(&witness::addresses(world).join("\n"), &["172.16.0.2/30 far"]);
}

fn claimed(world: &mut World) {
    plug_in(world);
    let site = Site::new(&shop(&[service("web", 80, "\"10.0.0.11\"")]));
    site.run("apply", "--yes", 0);
    let before = witness::table(world);
    site.write(&shop(&[service("web", 80, "\"10.0.0.12\"")]).replace("topology \"shop\"", "topology \"other\""));
    for verb in ["plan", "apply --yes"] {
        let (verb, more) = verb.split_once(' ').unwrap_or((verb, ""));
        let (_, err) = site.run(verb, more, 5);
        says(&err, &["service web", "topology `shop` owns it", "nothing was changed"]);
    }
    let exclusive = format!("topology \"other\"\nownership ipvs=\"exclusive\"{HOST}{}", service("mail", 25, "\"10.0.0.12\""));
    site.write(&exclusive);
    let (_, err) = site.run("apply", "--yes", 5);
    says(&err, &["exclusive", "topology `shop` has services on this host too"]);
    assert_eq!(witness::table(world), before);
}

fn shared(world: &mut World) {
    plug_in(world);
    let timeouts = "timeouts tcp=\"10m\" tcp-fin=\"60s\" udp=\"100s\"\n";
    let one = shop(&[service("web", 80, "\"10.0.0.11\""), timeouts.to_owned()]);
    let two = one
        .replace("topology \"shop\"", "topology \"mail\"")
        .replace("port=80", "port=25")
        .replace("vip \"shop\" address=\"10.0.0.100\"", "vip \"shop\" address=\"10.0.0.101\"");
    let found = world.witness("ipvsadm", "-l --timeout");
    let site = Site::new(&one);
    site.run("apply", "--yes", 0);
    site.write(&two);
    site.run("apply", "--yes", 0);
    site.run("destroy", "shop --yes", 0);
    says(&world.witness("ipvsadm", "-l --timeout"), &["600 60 100"]);
    site.run("destroy", "mail --yes", 0);
    assert_eq!(world.witness("ipvsadm", "-l --timeout"), found);
    assert!(witness::table(world).is_empty());
}

fn renamed(world: &mut World) {
    plug_in(world);
    let text = shop(&[service("web", 80, "\"10.0.0.[11-12]\"")]);
    let site = Site::new(&text);
    site.run("apply", "--yes", 0);
    let newer = shop(&[service("web", 80, "\"10.0.0.11\"")]).replace("topology \"shop\"", "topology \"store\" was=\"shop\"");
    site.write(&newer);
    let (out, _) = site.run("apply", "--yes", 0);
    says(&out, &["- server web 10.0.0.12"]);
    assert!(site.ledger("store").exists() && !site.ledger("shop").exists());
    site.run("destroy", "store --yes", 0);
    assert!(witness::table(world).is_empty());
}

fn renamed_by_adopt(world: &mut World) {
    plug_in(world);
    let site = Site::new(&shop(&[service("web", 80, "\"10.0.0.[11-12]\"")]));
    site.run("apply", "--yes", 0);
    hand::feed("ipvsadm", "-R", "-A -t 10.0.0.100:443 -s wlc\n-a -t 10.0.0.100:443 -r 10.0.0.11:443 -g -w 10\n");
    let before = witness::table(world);
    let newer = shop(&[service("web", 80, "\"10.0.0.11\""), service("tls", 443, "\"10.0.0.11\"")]);
    site.write(&newer.replace("topology \"shop\"", "topology \"store\" was=\"shop\""));
    let (out, _) = site.run("adopt", "", 0);
    says(&out, &["Adopted: 2. Topology `store`, which was `shop`, owns 6 objects here."]);
    assert_eq!(witness::table(world), before, "adopting changes nothing");
    assert!(site.ledger("store").exists() && !site.ledger("shop").exists());
    site.run("drift", "", 0);
    let (out, _) = site.run("apply", "--yes", 0);
    says(&out, &["- server web 10.0.0.12"]);
    site.run("destroy", "store --yes", 0);
    assert!(witness::table(world).is_empty());
}

/// A run that was done, and died before it tidied: what adopt writes must not make it look as if it had not ended.
fn adopt_tidies(world: &mut World) {
    plug_in(world);
    let site = Site::new(&shop(&[service("web", 80, "\"10.0.0.11\"")]));
    site.run("apply", "--yes", 0);
    let before = witness::table(world);
    let mut store = recorded::store(&site.records);
    let Ledger { transaction, host, instance, .. } = Ledger::read(&store, "shop").expect("a ledger").expect("a ledger");
    let (topology, intent) = ("shop".to_owned(), Intent::default());
    let journal = Journal { transaction, topology, host, instance, ends: false, sysctls: Vec::new(), intent };
    journal.begin(&mut store, None, None).expect("a record");
    let (out, _) = site.run("adopt", "", 0);
    says(&out, &["was done but for its records", "Adopted: 0."]);
    let (out, _) = site.run("recover", "", 0);
    says(&out, &["Nothing to recover"]);
    assert_eq!(witness::table(world), before);
}

fn former_name(world: &mut World) {
    plug_in(world);
    let shop = shop(&[service("web", 80, "\"10.0.0.11\"")]);
    let site = Site::new(&shop);
    site.run("apply", "--yes", 0);
    let new = shop.replace("topology \"shop\"", "topology \"new\" was=\"shop\"");
    site.write(&new);
    site.run("apply", "--yes", 0);
    let applied = history::now(); // ledgers count in seconds
    hand::until("the next second", || history::now() > applied);
    site.write(&shop.replace("10.0.0.100", "10.0.0.200").replace("port=80", "port=81"));
    site.run("apply", "--yes", 0);
    let before = witness::table(world);
    assert_eq!(before.len(), 4, "{before:#?}");
    site.write(&new);
    site.run("plan", "--exit-code", 0);
    site.run("apply", "--yes", 0);
    assert_eq!(witness::table(world), before);
    assert!(site.ledger("shop").exists());
}

fn unsafe_ledger(world: &mut World) {
    plug_in(world);
    let site = Site::new(&shop(&[service("web", 80, "\"10.0.0.11\"")]));
    site.run("apply", "--yes", 0);
    let before = witness::table(world);
    let ledger = site.ledger("shop");
    hand::run("chmod", &format!("666 {}", ledger.display()));
    let (_, err) = site.run("apply", "--yes", 1);
    says(&err, &["only its owner can write", "nothing was changed"]);
    std::fs::remove_file(&ledger).expect("our own file");
    std::os::unix::fs::symlink("/etc/passwd", &ledger).expect("a link");
    let (_, err) = site.run("apply", "--yes", 1);
    says(&err, &["is a link", "nothing was changed"]);
    hand::run("chmod", &format!("777 {}", site.records.display()));
    let (_, err) = site.run("apply", "--yes", 1);
    says(&err, &["others may write in it"]);
    assert_eq!(witness::table(world), before);
}

fn damaged_ledger(world: &mut World) {
    plug_in(world);
    let site = Site::new(&shop(&[service("web", 80, "\"10.0.0.[11-12]\"")]));
    site.run("apply", "--yes", 0);
    let before = witness::table(world);
    let ledger = site.ledger("shop");
    let whole = std::fs::read(&ledger).expect("a ledger");
    site.write(&shop(&[service("web", 80, "\"10.0.0.11\"")]));
    for end in [0, 10, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&ledger, &whole[..end]).expect("our own file");
        for verb in ["plan", "apply --yes"] {
            let (verb, more) = verb.split_once(' ').unwrap_or((verb, ""));
            let (_, err) = site.run(verb, more, 1);
            says(&err, &["is damaged", "lvsform adopt FILE"]);
        }
    }
    assert_eq!(witness::table(world), before);
    // The way back: what is there and in the file is the topology's again.
    std::fs::remove_file(&ledger).expect("our own file");
    site.run("adopt", "", 0);
    site.run("destroy", "shop --yes", 0);
    assert_eq!(
        witness::table(world),
        ["-A -t 10.0.0.100:80 -s wlc", "-a -t 10.0.0.100:80 -r 10.0.0.12:80 -g -w 10"],
        "12 is nobody's now"
    );
}

fn rules(world: &mut World) {
    plug_in(world);
    let all = [service("web", 80, "\"10.0.0.[11-14]\""), service("tls", 443, "\"10.0.0.11\"")];
    let site = Site::new(&shop(&all));
    site.run("apply", "--yes", 0);
    let before = witness::table(world);
    let fewer = service("web", 80, "\"10.0.0.11\"");
    let less = |policy: &str| shop(&[fewer.clone(), all[1].clone(), format!("policy {{ {policy}; }}\n")]);
    for (policy, rule) in [
        ("max-deletes 2", "max-deletes"),
        ("max-deletes \"10%\"", "max-deletes"),
        ("min-servers 2", "min-servers"),
        ("min-servers \"50%\"", "min-servers"),
    ] {
        site.write(&less(policy));
        let (out, _) = site.run("plan", "", 0);
        says(&out, &[&format!("Apply would refuse: {rule}:")]);
        let (_, err) = site.run("apply", "--yes", 5);
        says(&err, &[&format!("{rule}:"), &format!("--allow {rule}"), "nothing was changed"]);
    }
    site.write(&format!("topology \"shop\"{HOST}"));
    let (_, err) = site.run("apply", "--yes", 5);
    says(&err, &["empties: the plan deletes every service"]);
    assert_eq!(witness::table(world), before);
    site.write(&less("max-deletes 2"));
    site.run("apply", "--yes --allow max-deletes", 0);
    site.write(&format!("topology \"shop\"{HOST}"));
    site.run("apply", "--yes --allow empties", 0);
    assert!(witness::table(world).is_empty());
}

fn protect(world: &mut World) {
    plug_in(world);
    let all = [service("web", 80, "\"10.0.0.11\""), service("tls", 443, "\"10.0.0.11\"")];
    let site = Site::new(&shop(&[all.concat(), "policy { protect \"service.tls\"; }\n".to_owned()]));
    site.run("apply", "--yes", 0);
    let before = witness::table(world);
    site.write(&shop(&all[..1]));
    let (_, err) = site.run("apply", "--yes", 5);
    says(&err, &["protect: the plan deletes service tcp 10.0.0.100:443", "--allow protect"]);
    let (_, err) = site.run("destroy", "shop --yes", 5);
    says(&err, &["protect:"]);
    assert_eq!(witness::table(world), before);
    site.run("apply", "--yes --allow protect", 0);
    site.run("destroy", "shop --yes", 0);
}

fn same_host(world: &mut World) {
    plug_in(world);
    let both = HOST.replace("vip", "director \"lb2\" { interface \"eth0\" address=\"10.0.0.3/24\"; }\nvip");
    let text = format!("topology \"shop\"{both}{}", service("web", 80, "\"10.0.0.11\""))
        .replace("address=\"10.0.0.100\"", "address=\"10.0.0.100\" holder=\"lb1\"");
    let site = Site::new(&text);
    site.run("apply", "--yes", 0);
    let before = witness::addresses(world);
    let other = format!("apply {} --host lb2 --yes --state-dir {}", site.file.path(), site.records.display());
    let (_, err) = run(lvsform(&other), 5);
    says(&err, &["host: this is `lb1`", "--allow host"]);
    assert_eq!(witness::addresses(world), before);
}

fn every_kind(world: &mut World) {
    plug_in(world);
    let before =
        (witness::table(world), witness::addresses(world), witness::devices(world), witness::sysctl("net/ipv4/vs/sloppy_tcp"));
    let text = format!(
        "topology \"shop\"{}{}",
        HOST.replace("address=\"10.0.0.2/24\";", "address=\"10.0.0.2/24\"; sysctl \"net.ipv4.vs.sloppy_tcp\" 1; tunnel \"far\" kind=\"ipip\" remote=\"192.0.2.9\" { address \"172.16.0.1/30\"; };"),
        "vip \"far\" address=\"192.0.2.77\"\nsync id=7 interface=\"eth0\"\ntimeouts udp=\"77s\"\n".to_owned()
            + &service("web", 80, "\"10.0.0.11\"")
    );
    let site = Site::new(&text);
    site.run("apply", "--yes", 0);
    assert_ne!(witness::devices(world), before.2);
    site.write("topology \"shop\"\ndirector \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\n");
    site.run("apply", "--yes --allow empties", 0);
    let after =
        (witness::table(world), witness::addresses(world), witness::devices(world), witness::sysctl("net/ipv4/vs/sloppy_tcp"));
    assert_eq!(after, before);
    assert_eq!(world.witness("ipvsadm", "-l --daemon").trim(), "");
    site.run("plan", "--exit-code", 0);
}

/// The digest that a plan shows.
fn digest(site: &Site) -> String {
    let (json, _) = site.run("plan", "--format json", 0);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    json["digest"].as_str().expect("a digest").to_owned()
}

fn expect(world: &mut World) {
    plug_in(world);
    let site = Site::new(&shop(&[service("web", 80, "\"10.0.0.[11-12]\"")]));
    let approved = digest(&site);
    assert_eq!(approved.len(), 32);
    hand::feed("ipvsadm", "-R", "-A -t 10.0.0.100:80 -s rr\n");
    let before = witness::table(world);
    let (_, err) = site.run("apply", &format!("--expect {approved}"), 6);
    says(&err, &["not the plan that was approved", "nothing was done"]);
    assert_eq!(witness::table(world), before);
    hand::run("ipvsadm", "-D -t 10.0.0.100:80");
    let (_, err) = site.run("apply", &format!("--expect {}", &approved[..31]), 6);
    says(&err, &["not the plan that was approved"]);
    site.run("apply", &format!("--expect {approved}"), 0);
}

fn steady_digest(world: &mut World) {
    plug_in(world);
    let text = shop(&[service("web", 80, "\"10.0.0.[11-12]\"")]);
    let site = Site::new(&text);
    site.run("apply", "--yes", 0);
    let changed = text.replace("weight=10", "weight=20");
    site.write(&changed);
    let first = digest(&site);
    site.write(&format!("// a comment\n\n{changed}"));
    hand::feed("ipvsadm", "-R", "-A -t 10.0.0.9:25 -s rr\n-a -t 10.0.0.9:25 -r 10.0.0.30:25 -m\n");
    // A connection that counts: nobody answers, and the director has seen it.
    let _ =
        std::net::TcpStream::connect_timeout(&"10.0.0.100:80".parse().expect("an address"), std::time::Duration::from_millis(50));
    assert_eq!(digest(&site), first);
    hand::run("ipvsadm", "-e -t 10.0.0.100:80 -r 10.0.0.11:80 -g -w 11");
    assert_ne!(digest(&site), first);
}

fn drift(world: &mut World) {
    plug_in(world);
    let text = shop(&[service("web", 80, "\"10.0.0.[11-12]\"")]);
    let site = Site::new(&text);
    site.run("drift", "", 0);
    site.run("apply", "--yes", 0);
    let (out, _) = site.run("drift", "", 0);
    says(&out, &["shop · lb1: no drift."]);
    hand::run("ipvsadm", "-e -t 10.0.0.100:80 -r 10.0.0.11:80 -g -w 77");
    hand::run("ipvsadm", "-d -t 10.0.0.100:80 -r 10.0.0.12:80");
    hand::run("ipvsadm", "-A -t 10.0.0.100:8080 -s rr");
    let (out, _) = site.run("drift", "", 3);
    says(&out, &["~ server web 10.0.0.11", "weight  10 → 77", "- server web 10.0.0.12", "service tcp 10.0.0.100:8080"]);
    let file = site.file.path().into_owned();
    site.write(&shop(&[service("web", 80, "\"10.0.0.[11-13]\"")]));
    let (out, _) = site.run("drift", &format!("{file} --host lb1"), 4);
    says(&out, &["Pending", "+ server  tcp 10.0.0.100:80 10.0.0.13:80"]);
    let metrics = site.records.with_file_name("lvsform.prom");
    site.run("drift", &format!("--textfile {}", metrics.display()), 3);
    let metrics = std::fs::read_to_string(metrics).expect("metrics");
    says(
        &metrics,
        &[
            "lvsform_drifted_objects{topology=\"shop\",host=\"lb1\",kind=\"server\"} 2\n",
            "lvsform_foreign_objects 1\n",
            "lvsform_unfinished_transactions 0\n",
        ],
    );
    let (json, _) = site.run("drift", "--format json", 3);
    says(&json, &["lvsform-drift/1"]);
    site.write(&text);
    site.run("apply", "--yes", 0);
    site.run("drift", "", 0);
}

fn history(world: &mut World) {
    plug_in(world);
    let site = Site::new(&shop(&[service("web", 80, "\"10.0.0.11\"")]));
    let (out, _) = site.run("history", "", 0);
    says(&out, &["Nothing was done yet."]);
    site.run("apply", "--yes", 0);
    site.run("destroy", "shop --yes", 0);
    let (out, _) = site.run("history", "", 0);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    says(lines[0], &["destroy", "shop · lb1", "done"]);
    says(lines[1], &["apply", "shop · lb1", "done: 3 added"]);
}
