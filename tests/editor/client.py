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
# What a topology of this test leaves open; another one declares no such variable, and nobody complains.
OPTIONS = {"bases": {"made/over.kdl": "made/shop.kdl"}, "var": {"port": 8443}, "var-files": ["made/values.kdl"]}

MADE = {
    "values.kdl": 'site "fra1"\n',
    "shop.kdl": """topology "made"
variable "port" type="integer"
variable "site"
director "lb1" { interface "eth0" address="10.0.0.2/24"; }
vip "front" address="10.0.0.100"
pool "web-${site}" { server "10.0.0.11"; }
pool "web.eu" { server "10.0.0.12"; }
service "shop" { listen vip=#"front"# port="${port}"; forward "dr"; pool "web-${site}"; }
service "shop.eu" { listen vip="front" port=81; forward "dr"; pool "web.eu"; }
expect "enough" { service "shop" servers-min=1; service "shop.*" servers-min=1; }
policy { protect "service.shop.eu" "service.shop"; }
lint "no-real-servers" level="allow" reason="only names matter here"
""",
    "over.kdl": """set {
    service "shop.eu" drain="1m"
    expect "enough" { service "shop" servers-min=1; }
}
remove "pool.web.eu.server.10.0.0.99"
""",
}


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
                initialization_options=OPTIONS,
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


async def named(desk, folder):
    """Names of every sort: in overlays and expectations, with dots, in raw texts, made of variables."""
    made = folder / "made"
    shop, over = desk.open(made / "shop.kdl"), desk.open(made / "over.kdl")
    await desk.is_clean(shop, "variables have the values of the options")
    hints = await desk.ask("inlay hint", shop, types.Position(0, 0))
    assert any("tcp 10.0.0.100:8443" in hint.label for hint in hints), hints

    async def renamed(uri, before):
        at = desk.texts[uri].index(before) + len(before)
        edit = await desk.ask("rename", uri, place(desk.texts[uri], at))
        texts = {}
        for other, edits in (edit.changes if edit else {}).items():
            lines = desk.texts[other].split("\n")
            for one in sorted(edits, key=lambda one: -one.range.start.character):
                line = lines[one.range.start.line]
                lines[one.range.start.line] = line[: one.range.start.character] + one.new_text + line[one.range.end.character :]
            texts[Path(other).name] = "\n".join(lines)
        return texts

    text, overlay = MADE["shop.kdl"], MADE["over.kdl"]
    there = text.replace('service "shop"', 'service "another"').replace('"service.shop"', '"service.another"')
    expected = {"shop.kdl": there, "over.kdl": overlay.replace('service "shop"', 'service "another"')}
    for uri, before in [(shop, 'service "sh'), (shop, 'enough" { service "sh'), (over, 'enough" { service "sh')]:
        assert await renamed(uri, before) == expected, before
    there = text.replace('"shop.eu"', '"another"').replace("service.shop.eu", "service.another")
    expected = {"shop.kdl": there, "over.kdl": overlay.replace("shop.eu", "another")}
    for uri, before in [(shop, 'protect "service.sh'), (over, 'set {\n    service "sh')]:
        assert await renamed(uri, before) == expected, before
    found = await renamed(shop, 'pool "web.')
    assert found["over.kdl"] == overlay.replace("pool.web.eu", "pool.another"), found
    assert (await renamed(shop, 'vip=#"fr'))["shop.kdl"].count('"another"') == 3
    assert await renamed(shop, 'pool "we') == {}, "made of a variable"

    for uri, before, expected in [
        (over, 'set {\n    service "', {"shop", "shop.eu"}),
        (over, 'enough" { service "', {"shop", "shop.eu"}),
        (shop, 'enough" { service "', {"shop", "shop.eu"}),
        (shop, 'vip=#"', {"front"}),
        (shop, '\nservice "', set()),
    ]:
        offers = await desk.ask("completion", uri, place(desk.texts[uri], desk.texts[uri].index(before) + len(before)))
        assert {item.label for item in offers} == expected, (before, offers)
    offers = await desk.ask("completion", over, place(overlay, overlay.index('remove "') + 8))
    assert "pool.web.eu" in {item.label for item in offers}, offers


async def asked_otherwise(desk, folder):
    """What the protocol has rules for: kinds of code actions, ends of lines, requests when there is no time for them."""
    uri = desk.open(folder / "api-gateway.kdl")
    text = desk.texts[uri]
    mistake = text.replace('"198.51.100.2/24"', "198.51.100.2/24", 1)
    assert mistake != text, "there is such an address"
    desk.whole(uri, mistake)
    whole = types.Range(start=types.Position(0, 0), end=types.Position(100_000, 0))
    document = types.TextDocumentIdentifier(uri=uri)
    for only, kinds in [(None, {"quickfix", "source.fixAll"}), (["source"], {"source.fixAll"}), (["refactor"], set())]:
        context = types.CodeActionContext(diagnostics=[], only=only)
        found = await desk.client.text_document_code_action_async(types.CodeActionParams(document, whole, context))
        assert {action.kind for action in found} == kinds, (only, found)
    desk.whole(uri, "// DOS\r\n" + text.replace("\n", "\r\n") + "\r\n\r\n")
    edits = await desk.ask("formatting", uri, types.Position(0, 0))
    assert edits and "\n" not in edits[0].new_text.replace("\r\n", ""), edits
    # Nobody waits for very many mistakes.
    desk.whole(uri, '"' * 100_001)
    begun = time.monotonic()
    await desk.ask("hover", uri, types.Position(0, 50_000))
    assert time.monotonic() - begun < 20, "100,001 quotes"
    desk.whole(uri, text)
    await desk.is_clean(uri, "it is whole after that")
    again = types.InitializeParams(process_id=None, capabilities=types.ClientCapabilities())
    await refused(desk.client.initialize_async(again))


async def refused(request):
    try:
        await request
    except JsonRpcException as error:
        assert error.code == -32600, error
    else:
        raise AssertionError("the protocol has no such request at this time")


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
    (folder / "made").mkdir()
    for name, text in MADE.items():
        (folder / "made" / name).write_text(text)
    desk = Desk()
    answer = await desk.start(program, folder)
    assert answer.server_info.name == "lvsform", answer
    await asked(desk, folder, chance)
    await typed(desk, folder)
    await named(desk, folder)
    await asked_otherwise(desk, folder)
    await edited(desk, folder, chance)
    await desk.client.shutdown_async(None)
    await refused(desk.client.shutdown_async(None))
    await refused(desk.ask("hover", (folder / "api-gateway.kdl").as_uri(), types.Position(0, 0)))
    desk.client.exit(None)
    ended = await asyncio.wait_for(desk.client._server.wait(), 120)
    assert ended == 0, f"it ended with {ended}"


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]).resolve()))
