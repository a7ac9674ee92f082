//! What a handler may import: `settings`, `users`, and as much of WASI 0.2 as the standard libraries of languages need,
//! with nothing behind it. Calls run on the server's own workers, so no import may block: where the library's would wait,
//! these answer at once or trap.

mod http;
mod sockets;

use wasmtime::component::{HasData, HasSelf, Linker, Resource, ResourceTable, ResourceType};
use wasmtime::{Result, StoreContextMut, bail, format_err};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::sync::io::streams::StreamError as Refused;
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sync};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError};
use wasmtime_wasi::random::WasiRandom;

use super::contract::{settings, users};
use super::state::State;

/// What the operator reads when a handler tries to wait.
const CANNOT_WAIT: &str = "the handler tried to wait (a sleep, a timer, or a read that is not ready): a call has to \
                           answer at once";

/// A linker that holds all that a handler may import.
pub(crate) fn linker(engine: &wasmtime::Engine) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    settings::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    users::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    add_wasi(&mut linker)?;
    linker.allow_shadowing(true);
    replace_waiting(&mut linker)?;
    sockets::add_to_linker(&mut linker)?;
    http::add_to_linker(&mut linker)?;
    Ok(linker)
}

struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// The interfaces of `wasi:cli/imports` but its sockets.
fn add_wasi(linker: &mut Linker<State>) -> Result<()> {
    wasmtime_wasi::p2::bindings::io::error::add_to_linker::<State, Io>(linker, |state| &mut state.table)?;
    sync::io::poll::add_to_linker::<State, Io>(linker, |state| &mut state.table)?;
    sync::io::streams::add_to_linker::<State, Io>(linker, |state| &mut state.table)?;

    clocks::wall_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)?;
    clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)?;
    random::random::add_to_linker::<State, WasiRandom>(linker, |state| state.ctx().ctx.random())?;
    random::insecure::add_to_linker::<State, WasiRandom>(linker, |state| state.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(linker, |state| state.ctx().ctx.random())?;

    cli::environment::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;

    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    sync::filesystem::types::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)
}

/// Replaces functions that could block by others that cannot. The only streams in a sandbox are an empty standard input
/// and the two outputs, which accept everything.
///
/// The library's other blocking functions are in `wasi:filesystem`, and each takes a descriptor: there is none, because
/// no directory is open at the start.
fn replace_waiting(linker: &mut Linker<State>) -> Result<()> {
    let mut poll = linker.instance("wasi:io/poll@0.2.12")?;
    poll.func_wrap("poll", |_: StoreContextMut<'_, State>, (_,): (Vec<Resource<DynPollable>>,)| {
        bail!(CANNOT_WAIT);
        #[allow(unreachable_code, reason = "gives the function its type")]
        Ok((Vec::<u32>::new(),))
    })?;
    poll.func_wrap("[method]pollable.block", |_: StoreContextMut<'_, State>, (_,): (Resource<DynPollable>,)| {
        bail!(CANNOT_WAIT);
        #[allow(unreachable_code, reason = "gives the function its type")]
        Ok(())
    })?;
    poll.func_wrap("[method]pollable.ready", |_: StoreContextMut<'_, State>, (_,): (Resource<DynPollable>,)| {
        bail!(CANNOT_WAIT);
        #[allow(unreachable_code, reason = "gives the function its type")]
        Ok((false,))
    })?;

    let mut streams = linker.instance("wasi:io/streams@0.2.12")?;
    // The library's destructors block on a future, which panics on a worker. These have nothing to wait for.
    streams.resource("input-stream", ResourceType::host::<DynInputStream>(), |mut store, handle| {
        store.data_mut().table.delete(Resource::<DynInputStream>::new_own(handle))?;
        Ok(())
    })?;
    streams.resource("output-stream", ResourceType::host::<DynOutputStream>(), |mut store, handle| {
        store.data_mut().table.delete(Resource::<DynOutputStream>::new_own(handle))?;
        Ok(())
    })?;
    for name in ["[method]input-stream.blocking-read", "[method]input-stream.read"] {
        streams.func_wrap(name, |_: StoreContextMut<'_, State>, (_, _): (Resource<DynInputStream>, u64)| {
            Ok((Err::<Vec<u8>, _>(Refused::Closed),))
        })?;
    }
    for name in ["[method]input-stream.blocking-skip", "[method]input-stream.skip"] {
        streams.func_wrap(name, |_: StoreContextMut<'_, State>, (_, _): (Resource<DynInputStream>, u64)| {
            Ok((Err::<u64, _>(Refused::Closed),))
        })?;
    }
    for name in ["[method]output-stream.blocking-splice", "[method]output-stream.splice"] {
        streams.func_wrap(
            name,
            |_: StoreContextMut<'_, State>, (_, _, _): (Resource<DynOutputStream>, Resource<DynInputStream>, u64)| {
                Ok((Err::<u64, _>(Refused::Closed),))
            },
        )?;
    }
    for name in ["[method]output-stream.blocking-write-and-flush", "[method]output-stream.write"] {
        streams.func_wrap(
            name,
            |mut store: StoreContextMut<'_, State>, (stream, bytes): (Resource<DynOutputStream>, Vec<u8>)| {
                let stream = store.data_mut().table.get_mut(&stream)?;
                Ok((answer(stream.write(bytes.into()))?,))
            },
        )?;
    }
    for name in ["[method]output-stream.blocking-flush", "[method]output-stream.flush"] {
        streams.func_wrap(name, |_: StoreContextMut<'_, State>, (_,): (Resource<DynOutputStream>,)| {
            Ok((Ok::<(), Refused>(()),))
        })?;
    }
    for name in ["[method]output-stream.blocking-write-zeroes-and-flush", "[method]output-stream.write-zeroes"] {
        streams.func_wrap(name, |_: StoreContextMut<'_, State>, (_, _): (Resource<DynOutputStream>, u64)| {
            Ok((Err::<(), _>(Refused::Closed),))
        })?;
    }
    Ok(())
}

/// The outcome of a write, as the guest is to see it.
fn answer(outcome: Result<(), StreamError>) -> Result<Result<(), Refused>> {
    match outcome {
        Ok(()) => Ok(Ok(())),
        Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => Ok(Err(Refused::Closed)),
        Err(StreamError::Trap(error)) => Err(format_err!("writing to the log: {error}")),
    }
}
