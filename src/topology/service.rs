//! `service`, `listen`, `match`, `scheduler`, `persistence`, `return-path`.

use super::block::{Block, Context};
use super::fault::Fault;
use super::server::{forward, servers};
use super::value::Value;
use super::{Listen, ListenOn, Match, Persistence, ReturnMode, ReturnPath, Scheduler, Service, Via};
use crate::source::At;
use crate::state::{Family, Protocol};

/// A service; `None` where it has no name, no listen or no method, which has been said.
pub fn service(cx: &mut Context, block: &Block) -> Option<Service> {
    let listens: Vec<Listen> = block.of("listen").filter_map(|block| listen(cx, block)).collect();
    let forward = block.of("forward").next().and_then(|block| forward(cx, block));
    let servers = servers(cx, block);
    let service = Service {
        name: block.label()?,
        listens,
        forward: forward?,
        scheduler: scheduler(block.of("scheduler").next()),
        persistence: block.of("persistence").next().and_then(persistence),
        pools: block.texts("pool"),
        servers,
        drain: block.integer("drain").unwrap_or(At::default(0)),
        return_path: return_path(block.of("return-path").next()),
    };
    (!service.listens.is_empty()).then_some(service)
}

fn listen(cx: &mut Context, block: &Block) -> Option<Listen> {
    let family = block
        .word("family")
        .map(|At { value, origin }| At { value: if value == "ipv4" { Family::Ipv4 } else { Family::Ipv6 }, origin });
    let matches: Vec<Match> = block.of("match").filter_map(matching).collect();
    let first_match = block.of("match").next().map(|block| block.span);
    let Some(mark_span) = block.given("fwmark") else {
        if let Some(span) = first_match {
            cx.report(&Fault::MatchWithoutMark, span);
        }
        for word in ["vip", "port"] {
            if block.given(word).is_none() {
                cx.miss(&Fault::ListenWithout { word }, word, block.span);
            }
        }
        let what = ListenOn::Vip {
            vip: block.text("vip")?,
            port: block.integer("port")?,
            protocol: protocol(block),
            server_port: block.integer("server-port"),
            one_packet: block.boolean("one-packet"),
        };
        return Some(Listen { span: block.span, what, family });
    };
    for word in ["protocol", "port", "server-port", "one-packet"] {
        if let Some(span) = block.given(word) {
            cx.report(&Fault::BesideMark { word, mark: mark_span }, span);
        }
    }
    let vip = match (block.given("vip"), first_match) {
        (Some(vip), Some(first)) => {
            cx.report(&Fault::MarkTwice { first }, vip);
            None
        }
        (None, None) => {
            cx.report(&Fault::MarkOfNobody, mark_span);
            return None;
        }
        _ => block.text("vip"),
    };
    let what = ListenOn::Mark { mark: block.integer("fwmark")?, matches, vip };
    Some(Listen { span: block.span, what, family })
}

fn matching(block: &Block) -> Option<Match> {
    Some(Match { vip: block.text("vip")?, protocol: protocol(block), ports: block.integers("port") })
}

fn protocol(block: &Block) -> At<Protocol> {
    let read = |At { value, origin }: At<&str>| Some(At { value: value.parse().ok()?, origin });
    block.word("protocol").and_then(read).unwrap_or(At::default(Protocol::Tcp))
}

fn scheduler(block: Option<&Block>) -> Scheduler {
    let Some(block) = block else {
        return Scheduler { name: At::default("wlc".to_owned()), port: At::default(false), fallback: At::default(false) };
    };
    let name = block.main_word().map(|At { value, origin }| At { value: value.to_owned(), origin });
    Scheduler {
        name: name.unwrap_or(At::default("wlc".to_owned())),
        port: block.boolean("port"),
        fallback: block.boolean("fallback"),
    }
}

fn persistence(block: &Block) -> Option<Persistence> {
    let timeout = match block.main()? {
        At { value: Value::Integer(seconds), origin } => At { value: u32::try_from(*seconds).ok()?, origin: *origin },
        _ => return None,
    };
    Some(Persistence {
        timeout,
        client_prefix: block.integer("client-prefix").unwrap_or(At::default(32)),
        client_prefix6: block.integer("client-prefix6").unwrap_or(At::default(128)),
        sip: block.word("engine").map(|engine| At { value: (), origin: engine.origin }),
    })
}

fn return_path(block: Option<&Block>) -> ReturnPath {
    let Some(block) = block else { return ReturnPath { mode: At::default(ReturnMode::Policy), via: None } };
    let mode = block.main_word().map(|At { value, origin }| At {
        value: match value {
            "default-route" => ReturnMode::DefaultRoute,
            "none" => ReturnMode::None,
            "snat" => ReturnMode::Snat,
            _ => ReturnMode::Policy,
        },
        origin,
    });
    let vip = block.text("via").map(|At { value, origin }| At { value: Via::Vip(value), origin });
    let address = block.address("via").map(|At { value, origin }| At { value: Via::Address(value), origin });
    ReturnPath { mode: mode.unwrap_or(At::default(ReturnMode::Policy)), via: vip.or(address) }
}
