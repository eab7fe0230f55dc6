//! Both spellings, written anew.

use std::path::Path;

use super::convert::convert;
use super::{comments, format};
use crate::source::Spelling::{self, Kdl, Toml};

fn formatted(spelling: Spelling, text: &str) -> String {
    let first = format(Path::new("t"), spelling, text).unwrap_or_else(|loaded| panic!("{text}\n{:?}", loaded.problems));
    let again = format(Path::new("t"), spelling, &first).unwrap_or_else(|loaded| panic!("{first}\n{:?}", loaded.problems));
    assert_eq!(first, again, "not the same again");
    first
}

#[test]
fn tmp() {
    for f in std::fs::read_dir("examples").unwrap() {
        let f = f.unwrap().path();
        let Some(s) = Spelling::of(&f) else { continue };
        let t = std::fs::read_to_string(&f).unwrap();
        std::fs::write(Path::new("/tmp/fmtx").join(f.file_name().unwrap()), formatted(s, &t)).unwrap();
        assert_eq!(comments(s, &t), comments(s, &formatted(s, &t)));
        let to = if s == Kdl { Toml } else { Kdl };
        match convert(&f, s, &t, to) {
            Ok(x) => std::fs::write(
                Path::new("/tmp/fmtx")
                    .join(f.with_extension(if to == Kdl { "kdl.conv" } else { "toml.conv" }).file_name().unwrap()),
                x,
            )
            .unwrap(),
            Err(e) => println!("{} {:?}", f.display(), e.problems),
        }
    }
}
