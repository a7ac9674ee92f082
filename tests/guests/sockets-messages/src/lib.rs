//! A messages handler that tries to reach the network: with sockets of the standard library at `sockets ADDRESS`, and with
//! requests over HTTP at `requests COUNT`, that many of them. What came of it becomes the text.
#![cfg(target_arch = "wasm32")]

use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};

use ondol_handler::messages::{Action, Frame, Guest};
use ondol_handler::{Refusal, RoomId, UserKey};
use ondol_messages::Messages;
use requests::wasi::http::outgoing_handler;
use requests::wasi::http::types::{Fields, OutgoingBody, OutgoingRequest, RequestOptions};

struct Component;

ondol_handler::export_messages!(Component);

impl Guest for Component {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let mut action = Messages::receive(sender, room, frame)?;
        if let Action::Post(draft) = &mut action {
            match draft.text.split_once(' ') {
                Some(("sockets", address)) => draft.text = by_sockets(address),
                Some(("requests", count)) => {
                    let mut all: Vec<String> = (0..count.parse().unwrap_or(1)).map(|_| by_http()).collect();
                    all.dedup();
                    draft.text = all.join("; ");
                }
                _ => {}
            }
        }
        Ok(action)
    }
}

fn by_sockets(address: &str) -> String {
    let tcp = TcpStream::connect(address).map_err(|error| error.kind()).err();
    let udp = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"hello", address));
    let name = ("example.com", 80).to_socket_addrs().map(drop);
    format!("{tcp:?} {:?} {name:?}", udp.map_err(|error| error.kind()).err())
}

/// A request with everything.
fn by_http() -> String {
    let Ok(fields) = Fields::from_list(&[("x-secret".to_owned(), b"1".to_vec())]) else {
        return "no fields".to_owned();
    };
    let kept = fields.entries().len();
    let request = OutgoingRequest::new(fields);
    let named = request.set_authority(Some("example.com"));
    let Ok(body) = request.body() else { return "no body".to_owned() };
    let Ok(stream) = body.write() else { return "no stream".to_owned() };
    let written = stream.write(b"hello").is_ok();
    drop(stream);
    let finished = OutgoingBody::finish(body, None).is_ok();
    let answer = outgoing_handler::handle(request, Some(RequestOptions::new()));
    format!("{:?} {} {written} {finished} {kept}", answer.err(), named.is_ok())
}

/// The world `requests`.
mod requests {
    #![allow(
        unsafe_code,
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "written by wit-bindgen"
    )]
    wit_bindgen::generate!({ path: "wit", world: "requests", generate_all });
}
