//! What holds for every host, address, origin and id that a request carries.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use std::net::{IpAddr, Ipv4Addr};

use hyper::header::HeaderValue;
use hyper::{HeaderMap, header};
use ondol_inputs::proptest::prelude::*;
use ondol_inputs::proptest::sample::select;
use ondol_inputs::{corpus, holds, misspelt, text};
use url::Url;

use super::origin::{Origins, Own};
use super::rates::Address;
use super::*;

fn hosts() -> impl Strategy<Value = String> {
    let usual = select(vec![
        "localhost",
        "chat.example.com",
        "127.0.0.1:8000",
        "[::1]",
        "[::1]:8000",
        "a-b.c_d:80",
        "EXAMPLE.com:443",
    ]);
    prop_oneof![4 => misspelt(usual.prop_map(str::to_owned)), 1 => text(), 1 => "[a-z0-9.:@%\\[\\]-]{0,12}"]
}

#[test]
fn a_host_holds_nothing_that_ends_it() {
    holds(corpus::texts(), hosts(), |text| {
        if host::is_host(&text) {
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/\\?#@\"<>".contains(&byte)), "{text}");
            let port = text.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.contains(']'));
            prop_assert!(port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok()), "{text}");
        }
        Ok(())
    });
}

#[test]
fn a_page_of_the_same_origin_has_the_host_of_the_request() {
    let page =
        ("https?|ftp|app", "(://|:)", hosts()).prop_map(|(scheme, middle, host)| format!("{scheme}{middle}{host}"));
    let origins = Origins::new(&Config::default());
    holds([], (prop_oneof![4 => page, 1 => text()], hosts()), |(page, host)| {
        let Ok(value) = HeaderValue::from_bytes(page.as_bytes()) else { return Ok(()) };
        let headers = HeaderMap::from_iter([(header::ORIGIN, value)]);
        let own = Own::Host(host.clone());
        if host::is_host(&host) && origins.check(&headers, &own).is_ok() {
            let (page, own) = (Url::parse(&page).unwrap(), Url::parse(&format!("http://{host}")).unwrap());
            prop_assert_eq!(page.host_str().map(str::to_ascii_lowercase), own.host_str().map(str::to_owned));
            prop_assert!(
                page.port_or_known_default() == own.port_or_known_default()
                    || own.port().is_none() && page.port().is_none(),
                "{page} {own}"
            );
        }
        Ok(())
    });
}

#[test]
fn an_address_is_the_gateways_word_whatever_the_client_has_written_before() {
    let garbage =
        prop_oneof![any::<Vec<u8>>(), text().prop_map(String::into_bytes), Just(b"192.0.2.1, 10.0.0.1".to_vec())];
    let address = any::<[u8; 16]>().prop_flat_map(|bytes| {
        let v4 = IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]);
        select(vec![v4, IpAddr::from(bytes), IpAddr::from(Ipv4Addr::from([192, 0, 2, bytes[0]]).to_ipv6_mapped())])
    });
    let gateway = IpAddr::from([127, 0, 0, 1]);
    let trusts = |address: IpAddr| address.to_canonical() == gateway;
    holds([], (garbage, address, any::<bool>(), any::<bool>()), |(garbage, address, in_one_line, with_port)| {
        let written = match (address, with_port) {
            (address, false) => address.to_string(),
            (IpAddr::V4(address), true) => format!("{address}:4711"),
            (IpAddr::V6(address), true) => format!("[{address}]:4711"),
        };
        let of = |lines: &[Vec<u8>]| {
            let lines = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line);
            }
            Address::of(&headers, gateway, trusts)
        };
        let word = of(&[written.clone().into_bytes()]);
        prop_assert_eq!(word.is_none(), trusts(address));
        let (mut garbage, word_line) = (garbage, written.into_bytes());
        if HeaderValue::from_bytes(&garbage).is_err() || word.is_none() {
            return Ok(());
        }
        let lines = if in_one_line {
            garbage.extend(b", ");
            garbage.extend(word_line);
            vec![garbage]
        } else {
            vec![garbage, word_line]
        };
        prop_assert_eq!(of(&lines), word);
        Ok(())
    });
}

#[test]
fn a_room_has_one_spelling() {
    let generated = prop_oneof![any::<u64>().prop_map(|id| id.to_string()), misspelt("[0-9]{0,21}"), text()];
    holds(["0", "00", "+1", "-0", "1 ", "18446744073709551616"].map(str::to_owned), generated, |text| {
        match room_id(&text) {
            Some(id) => prop_assert_eq!(id.to_string(), text),
            None => prop_assert!(text.parse::<u64>().is_err() || text.starts_with(['0', '+']), "{text}"),
        }
        Ok(())
    });
}

#[test]
fn a_given_id_of_a_request_is_safe_in_a_log_and_in_json() {
    holds(corpus::texts(), prop_oneof![text(), misspelt("[A-Za-z0-9_.:-]{0,140}")], |given| {
        let id = RequestId::of_request(Some(&given)).to_string();
        prop_assert!((1..=128).contains(&id.len()), "{id}");
        prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte)), "{id}");
        Ok(())
    });
}
