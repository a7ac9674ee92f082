//! `wasi:http` without a network: every request is denied, and nothing of it is kept.
//!
//! A handler may build requests and responses, but each is a handle to nothing. What it sets is forgotten and what it asks
//! for is empty; so there is nothing to bound but the number of handles, which is bounded for all resources together. No
//! response ever comes, so its functions cannot be called.

use wasmtime::component::types::Type;
use wasmtime::component::{Linker, Resource, ResourceAny, ResourceType, Val};
use wasmtime::{Result, StoreContextMut, bail};
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi::p2::pipe::SinkOutputStream;

use super::super::state::State;

/// Whatever a handler builds.
struct Nothing;

/// The resources of `wasi:http/types` with their functions.
#[rustfmt::skip]
const TYPES: [(&str, &[&str]); 11] = [
    ("fields", &[
        "[constructor]fields", "[static]fields.from-list", "[method]fields.get", "[method]fields.has", "[method]fields.set",
        "[method]fields.delete", "[method]fields.append", "[method]fields.entries", "[method]fields.clone",
    ]),
    ("outgoing-request", &[
        "[constructor]outgoing-request", "[method]outgoing-request.body", "[method]outgoing-request.method",
        "[method]outgoing-request.set-method", "[method]outgoing-request.path-with-query",
        "[method]outgoing-request.set-path-with-query", "[method]outgoing-request.scheme",
        "[method]outgoing-request.set-scheme", "[method]outgoing-request.authority",
        "[method]outgoing-request.set-authority", "[method]outgoing-request.headers",
    ]),
    ("request-options", &[
        "[constructor]request-options", "[method]request-options.connect-timeout",
        "[method]request-options.set-connect-timeout", "[method]request-options.first-byte-timeout",
        "[method]request-options.set-first-byte-timeout", "[method]request-options.between-bytes-timeout",
        "[method]request-options.set-between-bytes-timeout",
    ]),
    ("outgoing-body", &["[method]outgoing-body.write", "[static]outgoing-body.finish"]),
    ("outgoing-response", &[
        "[constructor]outgoing-response", "[method]outgoing-response.status-code",
        "[method]outgoing-response.set-status-code", "[method]outgoing-response.headers", "[method]outgoing-response.body",
    ]),
    ("future-incoming-response", &[
        "[method]future-incoming-response.subscribe", "[method]future-incoming-response.get",
    ]),
    ("incoming-response", &[
        "[method]incoming-response.status", "[method]incoming-response.headers", "[method]incoming-response.consume",
    ]),
    ("incoming-body", &["[method]incoming-body.stream", "[static]incoming-body.finish"]),
    ("future-trailers", &["[method]future-trailers.subscribe", "[method]future-trailers.get"]),
    ("incoming-request", &[
        "[method]incoming-request.method", "[method]incoming-request.path-with-query", "[method]incoming-request.scheme",
        "[method]incoming-request.authority", "[method]incoming-request.headers", "[method]incoming-request.consume",
    ]),
    ("response-outparam", &["[static]response-outparam.set"]),
];

/// Adds `types` and `outgoing-handler`.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    for (resource, functions) in TYPES {
        types.resource(resource, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
        for function in functions {
            types.func_new(function, |mut store, ty, given, answer| {
                forget(&mut store, given)?;
                for (ty, answer) in ty.results().zip(answer) {
                    *answer = empty(&mut store, &ty)?;
                }
                Ok(())
            })?;
        }
    }
    types.func_new("http-error-code", |mut store, _, given, answer| {
        forget(&mut store, given)?;
        set(answer, Val::Option(None))
    })?;
    let mut handler = linker.instance("wasi:http/outgoing-handler@0.2.12")?;
    handler.func_new("handle", |mut store, _, given, answer| {
        forget(&mut store, given)?;
        let denied = Val::Variant("HTTP-request-denied".to_owned(), None);
        set(answer, Val::Result(Err(Some(Box::new(denied)))))
    })
}

fn set(answer: &mut [Val], value: Val) -> Result<()> {
    match answer {
        [answer] => *answer = value,
        _ => bail!("wasi:http has another type here"),
    }
    Ok(())
}

/// Gives up the handles among the arguments, which otherwise would stay in the store.
fn forget(store: &mut StoreContextMut<'_, State>, values: &[Val]) -> Result<()> {
    for value in values {
        match value {
            Val::Resource(handle) => handle.resource_drop(&mut *store)?,
            Val::Option(Some(value)) | Val::Result(Ok(Some(value)) | Err(Some(value))) => {
                forget(store, std::slice::from_ref(value))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The value of a type that says the least: a success, none, an empty list, the first case, a fresh handle to nothing.
fn empty(store: &mut StoreContextMut<'_, State>, ty: &Type) -> Result<Val> {
    Ok(match ty {
        Type::Bool => Val::Bool(false),
        Type::U16 => Val::U16(0),
        Type::List(_) => Val::List(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Result(ty) => {
            let value = ty.ok().map(|ty| empty(store, &ty)).transpose()?;
            Val::Result(Ok(value.map(Box::new)))
        }
        Type::Variant(ty) => match ty.cases().next() {
            Some(case) if case.ty.is_none() => Val::Variant(case.name.to_owned(), None),
            _ => bail!("wasi:http has another type here"),
        },
        Type::Own(ty) if *ty == ResourceType::host::<Nothing>() => {
            Val::Resource(ResourceAny::try_from_resource(Resource::<Nothing>::new_own(0), store)?)
        }
        // The stream of a body, which takes everything.
        Type::Own(ty) if *ty == ResourceType::host::<DynOutputStream>() => {
            let sink: DynOutputStream = Box::new(SinkOutputStream);
            let sink = store.data_mut().table.push(sink)?;
            Val::Resource(ResourceAny::try_from_resource(sink, store)?)
        }
        _ => bail!("there is no response: every request is denied"),
    })
}
