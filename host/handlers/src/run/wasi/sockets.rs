//! `wasi:sockets` without a network: no socket is created and no name is looked up.
//!
//! Everything a handler could do with a socket takes one, and all of them come from three functions. These are replaced
//! by ones that deny access; so the library's code behind them, which would open sockets, wait for a runtime or ask a
//! resolver, is never reached.

use wasmtime::component::{Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::ResolveAddressStream;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, LinkOptions, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp::TcpSocket;
use wasmtime_wasi::p2::bindings::sockets::udp::UdpSocket;
use wasmtime_wasi::p2::bindings::{sockets, sync};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};

use super::super::state::State;

/// Adds the interfaces, and replaces what creates sockets and looks up names. Shadowing has to be allowed.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    sockets::network::add_to_linker::<State, WasiSockets>(linker, &LinkOptions::default(), State::sockets)?;
    sockets::instance_network::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    sockets::ip_name_lookup::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    sync::sockets::udp_create_socket::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    sync::sockets::tcp::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    sync::sockets::udp::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;

    linker.instance("wasi:sockets/tcp-create-socket@0.2.12")?.func_wrap(
        "create-tcp-socket",
        |_: StoreContextMut<'_, State>, (_,): (IpAddressFamily,)| {
            Ok((Err::<Resource<TcpSocket>, _>(ErrorCode::AccessDenied),))
        },
    )?;
    linker.instance("wasi:sockets/udp-create-socket@0.2.12")?.func_wrap(
        "create-udp-socket",
        |_: StoreContextMut<'_, State>, (_,): (IpAddressFamily,)| {
            Ok((Err::<Resource<UdpSocket>, _>(ErrorCode::AccessDenied),))
        },
    )?;
    linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?.func_wrap(
        "resolve-addresses",
        |_: StoreContextMut<'_, State>, (_, _): (Resource<Network>, String)| {
            Ok((Err::<Resource<ResolveAddressStream>, _>(ErrorCode::AccessDenied),))
        },
    )
}
