//! Each example in each spelling on each of its directors: what other programs see afterwards is what the file says.

use libtest_mimic::Trial;

use crate::director::{Director, WHOLE};
use crate::witness;
use crate::world::{World, test};

/// Every director of every example, without its spelling.
const DIRECTORS: [(&str, &str); 7] = [
    ("examples/flash-sale", "lb1"),
    ("examples/game", "lb-east"),
    ("examples/game", "lb-west"),
    ("examples/cdn", "fra1"),
    ("examples/cdn", "fra2"),
    ("examples/api-gateway", "lb1"),
    ("examples/api-gateway", "lb2"),
];

const SPELLINGS: [&str; 2] = ["kdl", "toml"];

pub fn tests() -> Vec<Trial> {
    let spelled = |(example, host): (&str, &str)| {
        SPELLINGS.map(|spelling| {
            (format!("{example}.{spelling}"), host.to_owned(), SPELLINGS.map(|other| format!("{example}.{other}")))
        })
    };
    let mut tests: Vec<Trial> = DIRECTORS
        .into_iter()
        .flat_map(spelled)
        .map(|(file, host, spellings)| {
            let name = file.rsplit('/').next().unwrap_or(&file).replace('.', "_in_");
            test(format!("examples::{name}_on_{host}_is_what_other_programs_see"), move |world| {
                agrees(world, &file, &host);
                for other in spellings {
                    let found = Director::of(&other, &host).finds(&mut world.kernel);
                    assert!(found.is_empty(), "{file} is applied, and {other} still finds {found:?}");
                }
            })
        })
        .collect();
    tests.push(test("examples::the_topology_of_these_tests_is_what_other_programs_see", |world| agrees(world, WHOLE, "lb1")));
    tests.push(test("examples::the_table_of_the_flash_sale_is_this", flash_sale));
    tests.push(test("examples::no_example_has_a_director_that_is_not_tested", all));
    tests
}

fn agrees(world: &mut World, file: &str, host: &str) {
    let director = Director::of(file, host);
    director.plug_in(world);
    director.apply_all(&mut world.kernel);
    witness::agree(world, &director, &[]);
    // A second time there is nothing to do, and nothing is done.
    let before = witness::everything(world, &director);
    director.apply_all(&mut world.kernel);
    assert_eq!(witness::everything(world, &director), before);
}

fn flash_sale(world: &mut World) {
    let director = Director::of("examples/flash-sale.kdl", "lb1");
    director.plug_in(world);
    director.apply_all(&mut world.kernel);
    let table = [
        "-A -t 10.0.0.100:443 -s wlc",
        "-A -t 10.0.0.100:80 -s wrr",
        "-a -t 10.0.0.100:443 -r 10.0.0.11:443 -g -w 100",
        "-a -t 10.0.0.100:443 -r 10.0.0.12:443 -g -w 100",
        "-a -t 10.0.0.100:443 -r 10.0.0.13:443 -g -w 50",
        "-a -t 10.0.0.100:443 -r 10.0.0.14:443 -g -w 50",
        "-a -t 10.0.0.100:80 -r 10.0.0.11:80 -g -w 100",
        "-a -t 10.0.0.100:80 -r 10.0.0.12:80 -g -w 100",
        "-a -t 10.0.0.100:80 -r 10.0.0.13:80 -g -w 50",
        "-a -t 10.0.0.100:80 -r 10.0.0.14:80 -g -w 50",
    ];
    assert_eq!(witness::table(world), table);
    assert_eq!(witness::addresses(world), ["10.0.0.100/32 eth0", "10.0.0.2/24 eth0"]);
    assert!(world.witness("ipvsadm", "-Ln --timeout").ends_with(": 300 30 300\n"));
}

fn all(_: &mut World) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in std::fs::read_dir(folder).expect("the examples") {
        let path = entry.expect("an example").path();
        let spelling = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if !SPELLINGS.contains(&spelling.as_str()) {
            continue;
        }
        let example = format!("examples/{}", path.file_stem().expect("a name").to_string_lossy());
        let tested: Vec<&str> = DIRECTORS.iter().filter(|(name, _)| *name == example).map(|(_, host)| *host).collect();
        let first = tested.first().unwrap_or_else(|| panic!("{example} is not tested"));
        let hosts = Director::of(&format!("{example}.{spelling}"), first).topology.hosts;
        let directors = hosts.values().filter(|host| host.role == lvsform::topology::Role::Director);
        let directors: Vec<&str> = directors.map(|host| host.name.value.as_str()).collect();
        assert_eq!(directors, tested, "{example}.{spelling}");
    }
}
