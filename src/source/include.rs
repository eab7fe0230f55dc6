//! A topology's files: the root, and whatever its `include`s lead to, each read once.
//!
//! Files that are asked for together are parsed together, on all CPUs. Which thread was first shows nowhere: a file's number
//! and its place in the tree come from the includes alone.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{
    FileId, Files, Form, Included, Loaded, Node, Problem, Scalar, Sources, Span, Spelling, Unreadable, input, kdl, problem, toml,
};

/// Bytes of one file; larger ones are refused before any memory is taken for them.
pub const FILE_CAP: u64 = 32 * 1024 * 1024;

/// Files of one topology.
const FILES_CAP: usize = 1000;

const TOO_MANY: &str = "too-many-files";

/// Bytes of a thread's stack: as deep as the main thread's.
const STACK: usize = 8 * 1024 * 1024;

/// A file that an `include` asks for.
struct Wanted {
    path: PathBuf,
    /// The argument that asks for it.
    span: Span,
    /// The argument is a pattern that the file matches.
    pattern: bool,
}

/// A file with its text, before it is parsed.
struct Unread {
    id: FileId,
    path: PathBuf,
    spelling: Spelling,
}

/// A file that was parsed.
struct Read {
    path: PathBuf,
    /// Its top-level nodes, without its includes.
    nodes: Vec<Node>,
    /// What its includes lead to, in their order.
    included: Vec<(Wanted, FileId)>,
}

/// Reads a topology: its own file and all that it includes. Every mistake of every file is in the result, sorted by place.
pub fn load(path: &Path, files: &dyn Files) -> Loaded {
    let mut loaded = Loaded::default();
    match root(path, files) {
        Ok((spelling, file)) => {
            everything(path, spelling, file, files, &mut loaded);
            input::read(files, &mut loaded);
        }
        Err(problem) => loaded.problems.push(problem),
    }
    problem::sort(&mut loaded.problems);
    loaded
}

/// Reads one file's text, and follows no `include`: those are nodes of the tree here.
pub fn one(path: &Path, spelling: Spelling, text: String) -> Loaded {
    let mut loaded = Loaded::default();
    let id = loaded.sources.add(path.to_owned(), text);
    loaded.tree.nodes = nodes(spelling, &loaded.sources.file(id).text, id, &mut loaded.problems);
    problem::sort(&mut loaded.problems);
    loaded
}

/// Opens a topology's own file.
pub fn root(path: &Path, files: &dyn Files) -> Result<(Spelling, Included), Problem> {
    let shown = path.display();
    let Some(spelling) = Spelling::of(path) else {
        return Err(Problem::error("file", format!("`{shown}` is neither KDL (`.kdl`) nor TOML (`.toml`)"))
            .help("the extension says which of the two spellings a topology has"));
    };
    match files.root(path).and_then(within_cap) {
        Ok(file) => Ok((spelling, file)),
        Err(reason) => {
            let problem = Problem::error("file", format!("`{shown}` {}", why(&reason)));
            Err(match reason {
                Unreadable::Missing => {
                    problem.help("name a topology file; a path is relative to the folder in which this is run")
                }
                Unreadable::NotAFile(_) => problem.help("name a topology file"),
                _ => problem,
            })
        }
    }
}

fn everything(path: &Path, spelling: Spelling, file: Included, files: &dyn Files, loaded: &mut Loaded) {
    let folder = parent(path);
    let mut ids = BTreeMap::from([(file.identity, FileId(0))]);
    let mut asked = vec![Unread { id: loaded.sources.add(path.to_owned(), file.text), path: path.to_owned(), spelling }];
    let mut read = Vec::new();
    'files: while !asked.is_empty() {
        let mut next = Vec::new();
        let parsed = together(&asked, &loaded.sources);
        for (Unread { path, .. }, (nodes, mut problems)) in asked.into_iter().zip(parsed) {
            loaded.problems.append(&mut problems);
            let (asks, nodes): (Vec<Node>, Vec<Node>) = nodes.into_iter().partition(|node| &*node.key == "include");
            let here = parent(&path);
            let mut wanted = Vec::new();
            for node in asks {
                wanted.extend(asked_for(&node, &here, &folder, files, &mut loaded.problems));
            }
            let mut included = Vec::new();
            for wanted in wanted {
                match open(wanted, &folder, files, &mut ids, &mut next, loaded) {
                    Ok(found) => included.push(found),
                    Err(problem) => {
                        let full = problem.code == TOO_MANY;
                        loaded.problems.push(problem);
                        if full {
                            break 'files;
                        }
                    }
                }
            }
            read.push(Read { path, nodes, included });
        }
        asked = next;
    }
    in_order(read, loaded);
}

/// Opens a file that an include asks for: one that was opened before by its number, a new one among those to be parsed next.
fn open(
    wanted: Wanted,
    folder: &Path,
    files: &dyn Files,
    ids: &mut BTreeMap<PathBuf, FileId>,
    next: &mut Vec<Unread>,
    loaded: &mut Loaded,
) -> Result<(Wanted, FileId), Problem> {
    let (spelling, file) = included(&wanted, folder, files)?;
    if let Some(id) = ids.get(&file.identity) {
        return Ok((wanted, *id));
    }
    if loaded.sources.files().len() >= FILES_CAP {
        let message = format!("a topology of more than {FILES_CAP} files");
        return Err(Problem::error(TOO_MANY, message).at(wanted.span, "not read from here on"));
    }
    let id = loaded.sources.add(wanted.path.clone(), file.text);
    ids.insert(file.identity, id);
    next.push(Unread { id, path: wanted.path.clone(), spelling });
    Ok((wanted, id))
}

/// The nodes of each file and what is wrong in it. The threads end here: one that is left over would be in the way of who
/// enters a namespace later.
fn together(unread: &[Unread], sources: &Sources) -> Vec<(Vec<Node>, Vec<Problem>)> {
    let turn = AtomicUsize::new(0);
    let work = || {
        let mut read = Vec::new();
        loop {
            let at = turn.fetch_add(1, Ordering::Relaxed);
            let Some(Unread { spelling, id, .. }) = unread.get(at) else { return read };
            let mut problems = Vec::new();
            let nodes = nodes(*spelling, &sources.file(*id).text, *id, &mut problems);
            read.push((at, (nodes, problems)));
        }
    };
    let others = thread::available_parallelism().map_or(1, usize::from).min(unread.len()).saturating_sub(1);
    let mut read = thread::scope(|scope| {
        // Without threads there is still this one.
        let others = (0..others).map_while(|_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).ok());
        let others: Vec<_> = others.collect();
        let mut read = work();
        for other in others {
            read.append(&mut other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        read
    });
    read.sort_unstable_by_key(|(at, _)| *at);
    read.into_iter().map(|(_, read)| read).collect()
}

/// One tree of all files: of each file its own nodes, then those of its includes, where they are first asked for.
fn in_order(mut read: Vec<Read>, loaded: &mut Loaded) {
    let mut open = vec![(FileId(0), 0)];
    loaded.tree.nodes.append(&mut nodes_of(&mut read, FileId(0)));
    let mut seen = BTreeSet::from([FileId(0)]);
    while let Some((id, next)) = open.last_mut() {
        let Some((wanted, file)) = read.get(id.0 as usize).and_then(|file| file.included.get(*next)) else {
            open.pop();
            continue;
        };
        *next += 1;
        let itself = id == file;
        let (wanted, file) = (wanted, *file);
        if let Some(position) = open.iter().position(|(other, _)| *other == file) {
            if !(wanted.pattern && itself) {
                let chain = open[position..].iter().filter_map(|(id, _)| Some(&read.get(id.0 as usize)?.path));
                loaded.problems.push(cycle(chain, wanted));
            }
        } else if seen.insert(file) {
            loaded.tree.nodes.append(&mut nodes_of(&mut read, file));
            open.push((file, 0));
        }
    }
}

fn nodes_of(read: &mut [Read], id: FileId) -> Vec<Node> {
    read.get_mut(id.0 as usize).map(|file| mem::take(&mut file.nodes)).unwrap_or_default()
}

pub(super) fn nodes(spelling: Spelling, text: &str, id: FileId, problems: &mut Vec<Problem>) -> Vec<Node> {
    match spelling {
        Spelling::Kdl => kdl::read(text, id, problems),
        Spelling::Toml => toml::read(text, id, problems),
    }
}

/// The files that an `include` node asks for.
fn asked_for(node: &Node, here: &Path, folder: &Path, files: &dyn Files, problems: &mut Vec<Problem>) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    if !node.children.is_empty() || (node.args.is_empty() && node.form == Form::KdlNode) {
        problems.push(
            Problem::error("include", "`include` takes paths or patterns and nothing else")
                .at(node.span, "")
                .help("write include \"sites/*.kdl\", in TOML include = [\"sites/*.toml\"]"),
        );
    }
    for arg in &node.args {
        let Scalar::Text(text) = &arg.value else {
            problems.push(Problem::error("include", "an included file is named by a string").at(arg.span, ""));
            continue;
        };
        if text.contains("${") {
            let problem = Problem::error("include", "`include` takes in no variables").at(arg.span, "");
            problems.push(problem.help(
                "name the files, or a pattern: include \"sites/*.kdl\"; what differs between stages is said in overlays, one for each: --overlay FILE",
            ));
            continue;
        }
        match paths(text, here, folder, files) {
            Ok((pattern, paths)) => wanted.extend(paths.into_iter().map(|path| Wanted { path, span: arg.span, pattern })),
            Err(message) => problems.push(Problem::error("include", message).at(arg.span, "")),
        }
    }
    wanted
}

/// The paths that one argument names, and whether it is a pattern.
fn paths(text: &str, here: &Path, folder: &Path, files: &dyn Files) -> Result<(bool, Vec<PathBuf>), String> {
    if text.is_empty() {
        return Err("an empty path".into());
    }
    if text.contains('\0') {
        return Err("no path contains a NUL character".into());
    }
    if !text.contains(['*', '?', '[']) {
        return Ok((false, vec![here.join(text).components().collect()]));
    }
    if !below(&here.join(text), folder) {
        return Err("a pattern that leads out of the root file's folder".into());
    }
    let pattern = if Path::new(text).is_absolute() {
        PathBuf::from(text)
    } else {
        PathBuf::from(glob::Pattern::escape(&here.to_string_lossy())).join(text)
    };
    let Some(shown) = pattern.to_str() else { return Err("a pattern below a folder whose name is not UTF-8".into()) };
    glob::Pattern::new(shown).map_err(|error| format!("`{text}` is not a pattern: {}", error.msg))?;
    let found = files.matching(&pattern).map_err(|reason| format!("a folder of `{text}` {}", why(&reason)))?;
    Ok((true, found))
}

/// Whether a path, by its words alone, lies below a folder.
fn below(path: &Path, folder: &Path) -> bool {
    let plain = |path: &Path| {
        let mut plain: Vec<PathBuf> = Vec::new();
        for component in path.components() {
            match component {
                Component::CurDir => {}
                Component::ParentDir if plain.last().is_some_and(|last| last.as_os_str() != "..") => {
                    plain.pop();
                }
                other => plain.push(other.as_os_str().into()),
            }
        }
        plain
    };
    plain(path).starts_with(&plain(folder))
}

/// Opens a file that an `include` asks for.
fn included(wanted: &Wanted, folder: &Path, files: &dyn Files) -> Result<(Spelling, Included), Problem> {
    let shown = wanted.path.display();
    let Some(spelling) = Spelling::of(&wanted.path) else {
        let problem =
            Problem::error("include", format!("`{shown}` is neither KDL (`.kdl`) nor TOML (`.toml`)")).at(wanted.span, "");
        return Err(if wanted.pattern { problem.help("let the pattern end in `.kdl` or `.toml`") } else { problem });
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match files.included(folder, &wanted.path).and_then(within_cap) {
        Ok(file) => Ok((spelling, file)),
        Err(reason) => {
            let problem = Problem::error("include", format!("`{shown}` {}", why(&reason))).at(wanted.span, "");
            Err(match reason {
                Unreadable::Missing => problem.help("a path is relative to the file that says it"),
                Unreadable::Outside => problem.help("move the file there; a link to it is not enough"),
                _ => problem,
            })
        }
    }
}

/// The files that include each other, `open` being the one asked for and all between it and the one that asks.
fn cycle<'a>(open: impl Iterator<Item = &'a PathBuf>, wanted: &'a Wanted) -> Problem {
    let chain: Vec<String> = open.chain([&wanted.path]).map(|path| format!("`{}`", path.display())).collect();
    let message = match chain.as_slice() {
        [_, _] => "a file that includes itself".to_owned(),
        _ => format!("files that include each other: {}", chain.join(" → ")),
    };
    Problem::error("include-cycle", message)
        .at(wanted.span, "")
        .help("remove one of these includes: a file is read once, whoever includes it")
}

fn within_cap(file: Included) -> Result<Included, Unreadable> {
    let size = file.text.len() as u64;
    if size > FILE_CAP { Err(Unreadable::TooLarge { size, cap: FILE_CAP }) } else { Ok(file) }
}

/// Why a file cannot be read, as the rest of a sentence that begins with its name.
fn why(reason: &Unreadable) -> String {
    match reason {
        Unreadable::Missing => "does not exist".into(),
        Unreadable::NotAFile(kind) => format!("is a {kind}, not a regular file"),
        Unreadable::Outside => "lies outside the root file's folder".into(),
        Unreadable::TooLarge { size, cap } => format!("has {size} bytes; at most {cap} are read"),
        Unreadable::NotUtf8(at) => format!("is not UTF-8 text: byte {at} (counted from 0) begins no character"),
        Unreadable::Io(error) => format!("cannot be read: {error}"),
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}
