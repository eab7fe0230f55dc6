//! From a TOML text without mistakes to its layout.

use toml_parser::decoder::Encoding;
use toml_parser::parser::{Event, EventKind, parse_document};
use toml_parser::{Raw, Source, Span};

use super::{Data, Item, List, Pair, Statement, What};
use crate::spelling::value::{Value, number};

/// Reads a whole file. Total also where there are mistakes: what is not understood is left out.
pub(in crate::spelling) fn parse(text: &str) -> Vec<Item<Statement>> {
    let tokens = Source::new(text).lex().into_vec();
    let mut events: Vec<Event> = Vec::new();
    let mut keep = |event: Event| {
        if event.kind() != EventKind::Whitespace {
            events.push(event);
        }
    };
    parse_document(&tokens, &mut keep, &mut ());
    let mut reader = Reader { text, events: &events, at: 0 };
    let mut gathered = Gathered::default();
    while let Some(event) = reader.next() {
        match event.kind() {
            EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                let array = event.kind() == EventKind::ArrayTableOpen;
                let keys = reader.keys();
                reader.eat(&[EventKind::StdTableClose, EventKind::ArrayTableClose]);
                gathered.push(Statement::Header { array, keys });
            }
            EventKind::SimpleKey => {
                reader.at -= 1;
                if let Some(pair) = reader.pair() {
                    gathered.push(Statement::Pair(pair));
                }
            }
            _ => gathered.layout(&event, text),
        }
    }
    gathered.items
}

struct Reader<'t> {
    text: &'t str,
    events: &'t [Event],
    at: usize,
}

/// Items with the comments and blank lines between them.
struct Gathered<T> {
    items: Vec<Item<T>>,
    /// Line breaks since the last item.
    lines: usize,
}

impl<T> Default for Gathered<T> {
    fn default() -> Gathered<T> {
        Gathered { items: Vec::new(), lines: 0 }
    }
}

impl<T> Gathered<T> {
    fn push(&mut self, value: T) {
        let blank = self.blank();
        self.items.push(Item::new(blank, value));
    }

    fn blank(&mut self) -> bool {
        let blank = self.lines > 1 && !self.items.is_empty();
        self.lines = 0;
        blank
    }

    fn layout(&mut self, event: &Event, text: &str) {
        match event.kind() {
            EventKind::Newline => self.lines += 1,
            // A comma on a line of its own goes behind its value, and its line away.
            EventKind::ValueSep => self.lines = self.lines.saturating_sub(1),
            EventKind::Comment => {
                let span = event.span();
                let comment = text.get(span.start()..span.end()).unwrap_or_default().trim_end().to_owned();
                match self.items.last_mut() {
                    Some(item) if self.lines == 0 && item.trailing.is_none() && matches!(item.what, What::Some(_)) => {
                        item.trailing = Some(comment);
                    }
                    _ => {
                        let blank = self.blank();
                        self.items.push(Item::comment(blank, comment));
                    }
                }
            }
            _ => {}
        }
    }
}

impl Reader<'_> {
    fn next(&mut self) -> Option<Event> {
        let event = self.events.get(self.at).copied();
        self.at += usize::from(event.is_some());
        event
    }

    fn peek(&self) -> Option<EventKind> {
        self.events.get(self.at).map(Event::kind)
    }

    fn eat(&mut self, kinds: &[EventKind]) {
        self.at += usize::from(self.peek().is_some_and(|kind| kinds.contains(&kind)));
    }

    fn keys(&mut self) -> Vec<String> {
        let mut keys = Vec::new();
        while let Some(kind @ (EventKind::SimpleKey | EventKind::KeySep)) = self.peek() {
            if let Some(event) = self.next().filter(|_| kind == EventKind::SimpleKey) {
                let mut key = String::new();
                self.raw(event.span(), event.encoding()).decode_key(&mut key, &mut ());
                keys.push(key);
            }
        }
        keys
    }

    fn pair(&mut self) -> Option<Pair> {
        let at = self.events.get(self.at).map_or(0, |event| event.span().start());
        let keys = self.keys();
        self.eat(&[EventKind::KeyValSep]);
        self.value().map(|value| Pair { keys, value, at })
    }

    fn value(&mut self) -> Option<Data> {
        match self.peek()? {
            EventKind::Scalar => {
                let event = self.next()?;
                Some(Data::Scalar(self.scalar(&event)))
            }
            EventKind::ArrayOpen => Some(Data::Array(self.list(EventKind::ArrayClose, Reader::value))),
            EventKind::InlineTableOpen => Some(Data::Table(self.list(EventKind::InlineTableClose, Reader::pair))),
            _ => None,
        }
    }

    fn list<T>(&mut self, close: EventKind, read: fn(&mut Self) -> Option<T>) -> List<T> {
        self.at += 1;
        let mut gathered = Gathered::default();
        let mut lines = false;
        while let Some(kind) = self.peek() {
            if kind == close {
                self.at += 1;
                break;
            }
            let before = self.at;
            match kind {
                EventKind::SimpleKey | EventKind::Scalar | EventKind::ArrayOpen | EventKind::InlineTableOpen => {
                    if let Some(value) = read(self) {
                        gathered.push(value);
                    }
                }
                _ => {
                    lines |= kind == EventKind::Newline;
                    if let Some(event) = self.next() {
                        gathered.layout(&event, self.text);
                    }
                }
            }
            // What cannot be read here is left out.
            self.at = self.at.max(before + 1);
        }
        List { lines, items: gathered.items }
    }

    fn scalar(&self, event: &Event) -> Value {
        let raw = self.raw(event.span(), event.encoding());
        let token = raw.as_str();
        if event.encoding().is_none() {
            return match token {
                "true" => Value::Boolean(true),
                "false" => Value::Boolean(false),
                _ if token.trim_start_matches(['+', '-']).starts_with(|char: char| char.is_ascii_digit()) => {
                    Value::Number(number(token))
                }
                _ => Value::Raw(token.to_owned()),
            };
        }
        let mut text = String::new();
        let _kind = raw.decode_scalar(&mut text, &mut ());
        Value::Text(text)
    }

    fn raw(&self, span: Span, encoding: Option<Encoding>) -> Raw<'_> {
        Raw::new_unchecked(self.text.get(span.start()..span.end()).unwrap_or_default(), encoding, span)
    }
}
