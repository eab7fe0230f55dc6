//! Paths as editors name files: `file:///etc/lvsform/a%20b.kdl` (RFC 8089, RFC 3986).

use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use lsp_types::Uri;

/// The path of a file's name; `None` for what is no file.
pub fn path(uri: &Uri) -> Option<PathBuf> {
    let text = uri.as_str().strip_prefix("file://")?;
    // A host's name may stand before the path; the file is looked for here all the same.
    let text = text.get(text.find('/')?..)?;
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex =
            |at: usize| tail.get(at).and_then(|digit| char::from(*digit).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
        if let (b'%', Some(high), Some(low)) = (first, hex(0), hex(1)) {
            bytes.push(high << 4 | low);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

/// A path's name; `None` for one that is not absolute.
pub fn uri(path: &Path) -> Option<Uri> {
    let mut text = String::from("file://");
    for byte in path.is_absolute().then(|| path.as_os_str().as_bytes())? {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    Uri::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{path, uri};

    #[test]
    fn every_path_comes_back() {
        for text in ["/etc/shop.kdl", "/a b/ü[1]%/x?#.toml", "/"] {
            let name = uri(Path::new(text)).expect("an absolute path");
            assert_eq!(path(&name).as_deref(), Some(Path::new(text)), "{}", name.as_str());
        }
        assert_eq!(uri(Path::new("relative.kdl")), None);
    }
}
