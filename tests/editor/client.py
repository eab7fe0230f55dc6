"""An editor without a window: a client of the Language Server Protocol that is not ours (pygls) speaks to `lvsform lsp`.

client.py PROGRAM FOLDER: FOLDER has copies of the examples, which this may change. Ends with 0 if every promise holds.
"""

import asyncio
import random
import re
import sys
import time
from pathlib import Path

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.client import LanguageClient

EACH = 40
EDITS = 10_000


class Desk:
    """A client with the texts that are open in it."""

    def __init__(self):
        self.client = LanguageClient("client.py", "1")
        self.texts = {}
        self.versions = {}
        self.diagnostics = {}
        self.heard = asyncio.Event()

        @self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def _(params: types.PublishDiagnosticsParams):
            self.diagnostics[params.uri] = list(params.diagnostics)
            self.heard.set()

    async def start(self, program, folder):
        await self.client.start_io(program, "lsp", "--stdio")
        answer = await self.client.initialize_async(
            types.InitializeParams(
                process_id=None,
                capabilities=types.ClientCapabilities(),
                workspace_folders=[types.WorkspaceFolder(uri=folder.as_uri(), name="fleet")],
            )
        )
        self.client.initialized(types.InitializedParams())
        return answer

    def open(self, path, text=None):
        uri = path.as_uri()
        self.texts[uri] = path.read_text() if text is None else text
        self.versions[uri] = 1
        document = types.TextDocumentItem(uri=uri, language_id=path.suffix[1:], version=1, text=self.texts[uri])
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(text_document=document))
        return uri

    def change(self, uri, start, end, new):
        """Replaces letters of a text, by the places that the protocol counts."""
        text = self.texts[uri]
        span = types.Range(start=place(text, start), end=place(text, end))
        self.texts[uri] = text[:start] + new + text[end:]
        self.versions[uri] += 1
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                text_document=types.VersionedTextDocumentIdentifier(uri=uri, version=self.versions[uri]),
                content_changes=[types.TextDocumentContentChangePartial(range=span, text=new)],
            )
        )

    def whole(self, uri, text):
        self.change(uri, 0, len(self.texts[uri]), text)

    async def until(self, condition, what):
        """Waits until what has been published says so."""
        deadline = time.monotonic() + 60
        while not condition():
            self.heard.clear()
            try:
                await asyncio.wait_for(self.heard.wait(), max(deadline - time.monotonic(), 0.01))
            except asyncio.TimeoutError:
                raise SystemExit(f"{what}: not within a minute: {self.diagnostics}")

    async def is_clean(self, uri, what):
        """Waits until a text has been looked at as it is now, and nothing is wrong with it."""
        await self.ask("hover", uri, types.Position(0, 0))
        await self.until(lambda: self.diagnostics.get(uri) == [], what)

    async def ask(self, kind, uri, position):
        """One request. An answer may be empty; an error is one only for a name that cannot be changed."""
        document = types.TextDocumentIdentifier(uri=uri)
        span = types.Range(start=position, end=position)
        client = self.client
        if kind == "completion":
            return await client.text_document_completion_async(types.CompletionParams(document, position))
        if kind == "hover":
            return await client.text_document_hover_async(types.HoverParams(document, position))
        if kind == "definition":
            return await client.text_document_definition_async(types.DefinitionParams(document, position))
        if kind == "references":
            context = types.ReferenceContext(include_declaration=True)
            return await client.text_document_references_async(types.ReferenceParams(context, document, position))
        if kind == "prepare rename":
            return await client.text_document_prepare_rename_async(types.PrepareRenameParams(document, position))
        if kind == "rename":
            try:
                return await client.text_document_rename_async(types.RenameParams(document, position, "another"))
            except JsonRpcException as error:
                assert error.code == types.LSPErrorCodes.RequestFailed.value, error
                return None
        if kind == "formatting":
            options = types.FormattingOptions(tab_size=4, insert_spaces=True)
            return await client.text_document_formatting_async(types.DocumentFormattingParams(document, options))
        if kind == "code action":
            context = types.CodeActionContext(diagnostics=[])
            return await client.text_document_code_action_async(types.CodeActionParams(document, span, context))
        whole = types.Range(start=types.Position(0, 0), end=types.Position(100_000, 0))
        return await client.text_document_inlay_hint_async(types.InlayHintParams(document, whole))


KINDS = ["completion", "hover", "definition", "references", "prepare rename", "rename", "formatting", "code action", "inlay hint"]


def place(text, at):
    """The protocol's place of a letter: UTF-16."""
    before = text[:at]
    line = before.count("\n")
    column = before[before.rfind("\n") + 1 :]
    return types.Position(line=line, character=len(column.encode("utf-16-le")) // 2)


async def everywhere(desk, uri, chance):
    """EACH requests of each kind at places all over a text; how many had an answer, and how long they took."""
    answered, slowest = {}, 0.0
    for kind in KINDS:
        answered[kind] = 0
        text = desk.texts[uri]
        names = [match.start() + 1 for match in re.finditer(r'"[a-z][^"]*"|\.[a-z]', text)]
        for number in range(EACH):
            # Every other one on a name, where more is to be said.
            at = chance.choice(names) if number % 2 and names else chance.randrange(len(text) + 1)
            begun = time.monotonic()
            if await desk.ask(kind, uri, place(text, at)):
                answered[kind] += 1
            slowest = max(slowest, time.monotonic() - begun)
    return answered, slowest


def broken(text, chance):
    """The same text with a few letters too many and too few."""
    for _ in range(6):
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(['"', "{", "}", "[", "=", "", "\n", "ü😀"]) + text[at + chance.randrange(3) :]
    return text


async def asked(desk, folder, chance):
    for name in ["fleet/fleet.kdl", "fleet/production.kdl", "api-gateway.kdl", "api-gateway.toml", "game/game.toml"]:
        uri = desk.open(folder / name)
        await desk.is_clean(uri, f"{name} is without a fault")
        answered, slowest = await everywhere(desk, uri, chance)
        print(f"{name}: {EACH} of each, answered {answered}, the slowest within {slowest * 1000:.0f} ms")
        if "production" not in name:
            for kind in ["completion", "hover", "definition", "references", "prepare rename", "inlay hint"]:
                assert answered[kind] > 0, f"{name}: {kind} never answers"
        whole = desk.texts[uri]
        for round in range(4):
            desk.whole(uri, broken(whole, chance))
            answered, slowest = await everywhere(desk, uri, chance)
        print(f"{name}, broken: answered {answered}, the slowest within {slowest * 1000:.0f} ms")
        assert answered["completion"] > 0 and answered["hover"] > 0, f"{name}: nothing is answered while it is broken"
        desk.whole(uri, whole)
        await desk.is_clean(uri, f"{name} is without a fault again")


async def typed(desk, folder):
    """What an operator does: types a service, is helped, renames a VIP that three files name, and takes a fix."""
    uri = desk.open(folder / "api-gateway.kdl")
    text = desk.texts[uri]
    end = len(text)
    desk.change(uri, end, end, '\nservice "new" {\n    listen vip="')
    offers = await desk.ask("completion", uri, place(desk.texts[uri], len(desk.texts[uri])))
    labels = {item.label for item in offers}
    assert labels == {"api", "inside"}, labels
    desk.change(uri, len(desk.texts[uri]), len(desk.texts[uri]), 'api" port=99 quiesce=false\n}\n')
    await desk.until(lambda: desk.diagnostics.get(uri), "a mistake is said")
    hover = await desk.ask("hover", uri, place(text, text.index('scheduler "')))
    assert "Which server gets a new connection" in hover.contents.value, hover
    desk.whole(uri, text)
    await desk.is_clean(uri, "it is whole again")
    hints = await desk.ask("inlay hint", uri, types.Position(0, 0))
    assert any("tcp 198.51.100.10:443" in hint.label and "3 servers" in hint.label for hint in hints), hints

    # The overlay of the fleet names what the fleet has.
    overlay = desk.open(folder / "fleet" / "production.kdl")
    at = desk.texts[overlay].index('pool "syd"') + 7
    found = await desk.ask("definition", overlay, place(desk.texts[overlay], at))
    assert [Path(one.uri).name for one in found] == ["fleet.kdl"], found

    # A VIP of a file that is included, renamed where it is used.
    fleet = desk.open(folder / "fleet" / "fleet.kdl")
    at = desk.texts[fleet].index('listen vip="nyc"') + 13
    edit = await desk.ask("rename", fleet, place(desk.texts[fleet], at))
    files = sorted(Path(uri).name for uri in edit.changes)
    assert files == ["expectations.kdl", "fleet.kdl"], files
    assert sum(len(edits) for edits in edit.changes.values()) == 4, edit


async def edited(desk, folder, chance):
    """Thousands of keystrokes without a pause, and the text is understood as the client has it."""
    uris = [desk.open(folder / name) for name in ["api-gateway.kdl", "api-gateway.toml", "game/game.toml"]]
    texts = {uri: desk.texts[uri] for uri in uris}
    pieces = ['"', "{", "}", "[", "]", "=", "\n", ";", "\\", "${", "/*", "*/", "//", "#", "web[1-3]", "ü😀", "listen ", "vip=", '"""', "", "", ""]
    begun = time.monotonic()
    for number in range(EDITS):
        uri = chance.choice(uris)
        at = chance.randrange(len(desk.texts[uri]) + 1)
        desk.change(uri, at, min(at + chance.randrange(4), len(desk.texts[uri])), chance.choice(pieces))
        # Whoever asks is told of the text as it is, so it is looked at; in between the server looks when it has time.
        if number % 10 == 9:
            kind = KINDS[number // 10 % len(KINDS)]
            await desk.ask(kind, uri, place(desk.texts[uri], chance.randrange(len(desk.texts[uri]) + 1)))
        if number % 1000 == 999:
            for uri in uris:
                desk.whole(uri, texts[uri])
    print(f"{EDITS} edits in {time.monotonic() - begun:.1f} s")
    for uri in uris:
        desk.whole(uri, texts[uri])
        await desk.is_clean(uri, "it is whole after all edits")


async def main(program, folder):
    chance = random.Random(20_261_123)
    desk = Desk()
    answer = await desk.start(program, folder)
    assert answer.server_info.name == "lvsform", answer
    await asked(desk, folder, chance)
    await typed(desk, folder)
    await edited(desk, folder, chance)
    await desk.client.shutdown_async(None)
    desk.client.exit(None)
    ended = await asyncio.wait_for(desk.client._server.wait(), 120)
    assert ended == 0, f"it ended with {ended}"


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]).resolve()))
