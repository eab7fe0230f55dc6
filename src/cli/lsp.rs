//! `lvsform lsp`

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};
use std::path::PathBuf;
use std::thread::JoinHandle;

use clap::Args;
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, RequestId, Response};
use lsp_types::notification::{
    DidChangeTextDocument, DidChangeWatchedFiles, DidCloseTextDocument, DidOpenTextDocument, Exit as ExitNotification,
    Notification as _, PublishDiagnostics,
};
use lsp_types::request::{
    CodeActionRequest, Completion, Formatting, GotoDefinition, HoverRequest, Initialize, InlayHintRequest, PrepareRenameRequest,
    References, Rename, Request as _, Shutdown,
};
use lsp_types::{
    CodeActionKind, CodeActionOptions, CodeActionProviderCapability, CompletionOptions, CompletionResponse,
    GotoDefinitionResponse, HoverProviderCapability, InitializeParams, OneOf, PrepareRenameResponse, PublishDiagnosticsParams,
    RenameOptions, ServerCapabilities, ServerInfo, TextDocumentPositionParams, TextDocumentSyncCapability, TextDocumentSyncKind,
    Uri, WorkDoneProgressOptions,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Exit;
use super::files::{DiskFiles, With};
use super::output::Output;
use crate::editor::{Editor, uri};
use crate::report;
use crate::source::{FILE_CAP, Inputs};

/// Serve an editor
///
/// Speaks the Language Server Protocol over standard input and output: what is wrong as one types, completion, what a word means,
/// where a name is given and used, another name in all files, the canonical form, quick fixes, and beside each `listen` the
/// kernel's service. docs/editor.md has the settings of VS Code, Neovim and Helix. Reads topology files and files of values, and
/// nothing else.
///
/// Exit code: 0 the editor said goodbye; 1 it was gone without.
#[derive(Debug, Args)]
pub struct Lsp {
    /// Over standard input and output, which is the only way; editors add this by themselves
    #[arg(long)]
    stdio: bool,
}

/// What an editor may say when it begins.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Options {
    /// The topology of an overlay, where its folder does not say it; both by their paths in the first folder.
    bases: BTreeMap<PathBuf, PathBuf>,
    /// Values of variables, as `--var` gives them.
    var: BTreeMap<String, Value>,
    /// Files with such values, by their paths in the first folder.
    #[serde(rename = "var-files")]
    var_files: Vec<PathBuf>,
}

impl Options {
    /// `NAME=VALUE` of each; what is no value of a variable is left out.
    fn variables(&self) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            _ => None,
        };
        self.var.iter().filter_map(|(name, value)| Some(format!("{name}={}", text(value)?))).collect()
    }
}

impl Lsp {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        let Lsp { stdio: _ } = self;
        let (connection, reader, writer) = stdio();
        let served = serve(&connection);
        // The threads end when nobody can speak to them any more, and the reader with the editor.
        drop(connection);
        let read = if served.is_ok() || reader.is_finished() { ended(reader) } else { Ok(()) };
        match read.and(served).and_then(|()| ended(writer)) {
            Ok(()) => Exit::Done,
            Err(message) => {
                let help = "`lvsform lsp` is started by an editor: docs/editor.md says how";
                out.error(&report::error(&message, &[], Some(help), out.error_style));
                Exit::Failed
            }
        }
    }
}

/// What a thread says at its end.
type Thread = JoinHandle<io::Result<()>>;

fn ended(thread: Thread) -> Result<(), String> {
    thread.join().map_err(|_| "a thread of the connection has ended".to_owned())?.map_err(|error| error.to_string())
}

/// The library's connection over standard input and output, with a thread for each. Its own would make room for a message of
/// whatever length somebody says, and would hand over one at a time.
fn stdio() -> (Connection, Thread, Thread) {
    let (ours, theirs) = Connection::memory();
    let Connection { sender, receiver } = theirs;
    let reader = std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Some(message) = read_message(&mut input)? {
            let is_last = matches!(&message, Message::Notification(of) if of.method == ExitNotification::METHOD);
            if sender.send(message).is_err() || is_last {
                break;
            }
        }
        Ok(())
    });
    let writer = std::thread::spawn(move || {
        let mut output = io::stdout().lock();
        receiver.into_iter().try_for_each(|message| message.write(&mut output))
    });
    (ours, reader, writer)
}

/// So many bytes a message has at most: a file's cap, and room for what its letters are in JSON.
const MESSAGE_CAP: u64 = 8 * FILE_CAP;
/// So many bytes stand before it at most.
const HEAD_CAP: u64 = 4096;

/// Reads one message; none where the editor is gone.
fn read_message(input: &mut impl BufRead) -> io::Result<Option<Message>> {
    let mut head: Vec<u8> = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let room = HEAD_CAP.saturating_sub(head.len() as u64);
        let read = input.by_ref().take(room).read_until(b'\n', &mut head)?;
        // What is no head the library says.
        if read == 0 || !head.ends_with(b"\r\n") {
            break;
        }
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")).and_then(|text| text.trim().parse().ok());
    if let Some(length) = length.filter(|length: &u64| *length > MESSAGE_CAP) {
        return Err(io::Error::other(format!("a message of {length} bytes; at most {MESSAGE_CAP} are read")));
    }
    Message::read(&mut head.chain(input))
}

fn serve(connection: &Connection) -> Result<(), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let (id, begun) = connection.initialize_start().map_err(|error| words(&error))?;
    let begun: InitializeParams = serde_json::from_value(begun).unwrap_or_default();
    let answer = serde_json::json!({
        "capabilities": capabilities(),
        "serverInfo": ServerInfo { name: "lvsform".to_owned(), version: Some(env!("CARGO_PKG_VERSION").to_owned()) },
    });
    connection.initialize_finish(id, answer).map_err(|error| words(&error))?;
    let mut session = Session { connection, editor: begin(begun) };
    let waiting = &connection.receiver;
    let mut ending = false;
    loop {
        let message = if let Ok(message) = waiting.try_recv() {
            message
        } else {
            // Who types fast is told when the last of it has come.
            session.publish();
            waiting.recv().map_err(|_| GONE)?
        };
        match message {
            Message::Request(request) if ending => session.refuse(request, "the editor has said goodbye already"),
            Message::Request(request) if request.method == Initialize::METHOD => {
                session.refuse(request, "the editor has said hello already");
            }
            Message::Request(request) if request.method == Shutdown::METHOD => {
                ending = true;
                session.send(Response::new_ok(request.id, ()));
            }
            Message::Request(request) => session.answer(request),
            Message::Notification(notification) if notification.method == ExitNotification::METHOD => {
                return if ending { Ok(()) } else { Err(GONE.to_owned()) };
            }
            Message::Notification(notification) => session.note(notification),
            Message::Response(_) => {}
        }
    }
}

const GONE: &str = "the editor is gone";

fn begin(begun: InitializeParams) -> Editor {
    let named = begun.workspace_folders.unwrap_or_default().into_iter().map(|folder| folder.uri);
    #[expect(deprecated, reason = "editors without folders have one root")]
    let root = begun.root_uri;
    let folders: Vec<PathBuf> = named.chain(root).filter_map(|uri| uri::path(&uri)).collect();
    let options: Options = begun.initialization_options.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
    let within = |path: PathBuf| folders.first().map_or(path.clone(), |folder| folder.join(&path));
    let variables = options.variables();
    let variable_files = options.var_files.into_iter().map(within).collect();
    let bases = options.bases.into_iter().map(|(overlay, base)| (within(overlay), within(base))).collect();
    Editor::new(folders, bases, Inputs { variable_files, variables, ..Inputs::default() })
}

fn capabilities() -> ServerCapabilities {
    ServerCapabilities {
        text_document_sync: Some(TextDocumentSyncCapability::Kind(TextDocumentSyncKind::INCREMENTAL)),
        completion_provider: Some(CompletionOptions {
            trigger_characters: Some(["\"", "=", " ", ".", "{", "["].map(str::to_owned).into()),
            ..CompletionOptions::default()
        }),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        definition_provider: Some(OneOf::Left(true)),
        references_provider: Some(OneOf::Left(true)),
        rename_provider: Some(OneOf::Right(RenameOptions {
            prepare_provider: Some(true),
            work_done_progress_options: WorkDoneProgressOptions::default(),
        })),
        document_formatting_provider: Some(OneOf::Left(true)),
        code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
            code_action_kinds: Some(vec![CodeActionKind::QUICKFIX, CodeActionKind::SOURCE_FIX_ALL]),
            ..CodeActionOptions::default()
        })),
        inlay_hint_provider: Some(OneOf::Left(true)),
        ..ServerCapabilities::default()
    }
}

struct Session<'c> {
    connection: &'c Connection,
    editor: Editor,
}

impl Session<'_> {
    /// Whoever does not hear us any more has ended the connection, and the next message says so.
    fn send(&self, message: impl Into<Message>) {
        let _ = self.connection.sender.send(message.into());
    }

    fn note(&mut self, notification: Notification) {
        let Notification { method, params } = notification;
        match method.as_str() {
            DidOpenTextDocument::METHOD => {
                if let Some((path, document)) = read::<lsp_types::DidOpenTextDocumentParams>(params)
                    .and_then(|params| Some((uri::path(&params.text_document.uri)?, params.text_document)))
                {
                    self.editor.open(path, document.text);
                }
            }
            DidChangeTextDocument::METHOD => {
                if let Some(params) = read::<lsp_types::DidChangeTextDocumentParams>(params)
                    && let Some(path) = uri::path(&params.text_document.uri)
                {
                    self.editor.change(&path, params.content_changes);
                }
            }
            DidCloseTextDocument::METHOD => {
                if let Some(path) =
                    read::<lsp_types::DidCloseTextDocumentParams>(params).and_then(|params| uri::path(&params.text_document.uri))
                {
                    self.editor.close(&path);
                }
            }
            DidChangeWatchedFiles::METHOD => {
                let changes = read::<lsp_types::DidChangeWatchedFilesParams>(params).map(|params| params.changes);
                for path in changes.into_iter().flatten().filter_map(|change| uri::path(&change.uri)) {
                    self.editor.touch(&path);
                }
            }
            _ => {}
        }
    }

    /// Says what is wrong now, where that has changed.
    fn publish(&mut self) {
        for (path, diagnostics) in self.editor.refresh(&disk()) {
            let Some(uri) = uri::uri(&path) else { continue };
            let params = PublishDiagnosticsParams { uri, diagnostics, version: None };
            let method = PublishDiagnostics::METHOD.to_owned();
            self.send(Notification::new(method, params));
        }
    }

    /// A request at a time when the protocol has none.
    fn refuse(&self, request: Request, why: &str) {
        self.send(response(request.id, Err((ErrorCode::InvalidRequest, why.to_owned()))));
    }

    fn answer(&mut self, request: Request) {
        // An answer is of the text as it is, not as it was when somebody last had time to look.
        self.publish();
        let Request { id, method, params } = request;
        let editor = &self.editor;
        let answer = match method.as_str() {
            Completion::METHOD => of(params, |params: lsp_types::CompletionParams| {
                let (path, position) = at(&params.text_document_position)?;
                Ok(Some(CompletionResponse::Array(editor.complete(&path, position))))
            }),
            HoverRequest::METHOD => of(params, |params: lsp_types::HoverParams| {
                let (path, position) = at(&params.text_document_position_params)?;
                Ok(editor.hover(&path, position))
            }),
            GotoDefinition::METHOD => of(params, |params: lsp_types::GotoDefinitionParams| {
                let (path, position) = at(&params.text_document_position_params)?;
                Ok(Some(GotoDefinitionResponse::Array(editor.definition(&path, position))))
            }),
            References::METHOD => of(params, |params: lsp_types::ReferenceParams| {
                let (path, position) = at(&params.text_document_position)?;
                Ok(Some(editor.references(&path, position, params.context.include_declaration)))
            }),
            PrepareRenameRequest::METHOD => of(params, |params: TextDocumentPositionParams| {
                let (path, position) = at(&params)?;
                Ok(editor.renameable(&path, position).map(PrepareRenameResponse::Range))
            }),
            Rename::METHOD => of(params, |params: lsp_types::RenameParams| {
                let (path, position) = at(&params.text_document_position)?;
                editor.rename(&path, position, &params.new_name).map(Some)
            }),
            Formatting::METHOD => {
                of(params, |params: lsp_types::DocumentFormattingParams| Ok(editor.format(&path_of(&params.text_document.uri)?)))
            }
            CodeActionRequest::METHOD => of(params, |params: lsp_types::CodeActionParams| {
                let only = params.context.only.as_deref();
                Ok(Some(editor.actions(&path_of(&params.text_document.uri)?, params.range, only)))
            }),
            InlayHintRequest::METHOD => of(params, |params: lsp_types::InlayHintParams| {
                Ok(Some(editor.hints(&path_of(&params.text_document.uri)?, params.range)))
            }),
            _ => Err((ErrorCode::MethodNotFound, format!("`{method}` is not served"))),
        };
        self.send(response(id, answer));
    }
}

/// The disk, with the environment that topologies name.
fn disk() -> With<DiskFiles> {
    With { files: DiskFiles, inputs: Inputs::default() }
}

type Answer = Result<Value, (ErrorCode, String)>;

fn of<P: DeserializeOwned, A: Serialize>(params: Value, answer: impl FnOnce(P) -> Result<Option<A>, String>) -> Answer {
    let params = serde_json::from_value(params).map_err(|error| (ErrorCode::InvalidParams, error.to_string()))?;
    let answer = answer(params).map_err(|message| (ErrorCode::RequestFailed, message))?;
    serde_json::to_value(answer).map_err(|error| (ErrorCode::InternalError, error.to_string()))
}

fn response(id: RequestId, answer: Answer) -> Response {
    match answer {
        Ok(result) => Response::new_ok(id, result),
        Err((code, message)) => Response::new_err(id, code as i32, message),
    }
}

fn read<P: DeserializeOwned>(params: Value) -> Option<P> {
    serde_json::from_value(params).ok()
}

fn path_of(uri: &Uri) -> Result<PathBuf, String> {
    uri::path(uri).ok_or_else(|| format!("{} is no file", uri.as_str()))
}

fn at(place: &TextDocumentPositionParams) -> Result<(PathBuf, lsp_types::Position), String> {
    Ok((path_of(&place.text_document.uri)?, place.position))
}
