//! A cpio archive in the "newc" format: what the kernel unpacks as its first root.
//! Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.

use std::io::{self, Write};

/// One file of the archive, owned by root.
pub(super) struct Entry<'a> {
    /// Its path, without a leading slash.
    pub name: &'a str,
    /// Its type and permissions, as `st_mode` has them.
    pub mode: u32,
    /// What it holds; empty for a folder.
    pub content: &'a [u8],
}

/// A folder's mode.
pub(super) const FOLDER: u32 = 0o040_755;
/// A program's mode.
pub(super) const PROGRAM: u32 = 0o100_755;
/// A plain file's mode.
pub(super) const FILE: u32 = 0o100_644;

/// Writes the archive. Folders come before what is in them.
pub(super) fn write(out: &mut impl Write, entries: &[Entry<'_>]) -> io::Result<()> {
    for (inode, entry) in (1u32..).zip(entries) {
        write_entry(out, inode, entry)?;
    }
    write_entry(out, 0, &Entry { name: "TRAILER!!!", mode: 0, content: &[] })
}

fn write_entry(out: &mut impl Write, inode: u32, entry: &Entry<'_>) -> io::Result<()> {
    let length = |bytes: usize| u32::try_from(bytes).map_err(|_| io::Error::other("a file of 4 GiB does not fit a cpio archive"));
    let (size, name_size) = (length(entry.content.len())?, length(entry.name.len() + 1)?);
    // inode, mode, uid, gid, links, mtime, size, device (two), device of a device node (two), length of the name, checksum
    let fields = [inode, entry.mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
    out.write_all(b"070701")?;
    for field in fields {
        write!(out, "{field:08x}")?;
    }
    out.write_all(entry.name.as_bytes())?;
    out.write_all(&[0])?;
    pad(out, 6 + 8 * fields.len() + entry.name.len() + 1)?;
    out.write_all(entry.content)?;
    pad(out, entry.content.len())
}

/// Headers and contents each end at a multiple of four bytes.
fn pad(out: &mut impl Write, written: usize) -> io::Result<()> {
    out.write_all(&[0; 3][..written.next_multiple_of(4) - written])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_contents_are_padded_to_four_bytes() {
        let mut archive = Vec::new();
        write(&mut archive, &[Entry { name: "init", mode: PROGRAM, content: b"hello" }]).unwrap();
        assert_eq!(archive.len() % 4, 0);
        // 110 bytes of header, "init" and its zero make 115, padded to 116; five bytes of content padded to eight.
        assert_eq!(&archive[110..115], b"init\0");
        assert_eq!(&archive[116..121], b"hello");
        assert_eq!(&archive[124..130], b"070701");
        assert!(archive.windows(11).any(|window| window == b"TRAILER!!!\0"));
    }
}
