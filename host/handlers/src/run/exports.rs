//! The functions that the three worlds export, found and checked once for an instance and then called without a check.
//! `unsafe` stands here for one reason: the types that go in are borrowed, and a `TypedFunc` can name only one
//! lifetime.

use wasmtime::AsContextMut as _;
use wasmtime::component::{Func, Instance, TypedFunc};

use super::contract::{
    ActionOut, FrameIn, Message, PACKAGE_VERSION, RefusalIn, RefusalOut, Request, RoomDraftOut, User,
};
use super::kind::HandlerKind;
use super::state::State;

type Store = wasmtime::Store<State>;

/// The exports of one world, in one instance.
pub(crate) trait Exports: Sized + Send + 'static {
    /// The handler that exports them.
    const KIND: HandlerKind;

    /// Finds them. Fails, naming the function, when one is missing or has another type.
    fn find(instance: &Instance, store: &mut Store) -> wasmtime::Result<Self>;
}

/// Finds `interface.function` in an instance.
fn export(instance: &Instance, store: &mut Store, interface: &str, function: &str) -> wasmtime::Result<Func> {
    let name = format!("ondol:chat/{interface}@{PACKAGE_VERSION}");
    let missing = || wasmtime::format_err!("{name} does not export {function}");
    let interface = instance.get_export_index(store.as_context_mut(), None, &name).ok_or_else(missing)?;
    let index = instance.get_export_index(store.as_context_mut(), Some(&interface), function).ok_or_else(missing)?;
    instance.get_func(store, index).ok_or_else(missing)
}

macro_rules! exports {
    ($(#[$doc:meta])* $name:ident = $kind:ident / $interface:literal {
        $($function:ident $wit:literal ($($argument:ident: $type:ty),*) -> $answer:ty;)*
    }) => {
        $(#[$doc])*
        pub(crate) struct $name { $($function: Func),* }

        impl Exports for $name {
            const KIND: HandlerKind = HandlerKind::$kind;

            fn find(instance: &Instance, store: &mut Store) -> wasmtime::Result<Self> {
                $(
                    let $function = export(instance, store, $interface, $wit)?;
                    $function.typed::<($($type,)*), ($answer,)>(&*store)?;
                )*
                Ok(Self { $($function),* })
            }
        }

        impl $name {
            $(
                #[doc = concat!("Calls `", $interface, ".", $wit, "`.")]
                #[allow(unsafe_code, reason = "the types were checked in `find`, under another lifetime")]
                pub(crate) fn $function(&self, store: &mut Store, $($argument: $type),*) -> wasmtime::Result<$answer> {
                    // SAFETY: `find` is the only place that makes this struct, and it checked this very function with
                    // `Func::typed` for these very types. They differ in lifetimes alone, which are no part of a
                    // component's types.
                    let function = unsafe { TypedFunc::<($($type,)*), ($answer,)>::new_unchecked(self.$function) };
                    Ok(function.call(store, ($($argument,)*))?.0)
                }
            )*
        }
    };
}

exports! {
    /// What `room-handler` exports.
    RoomExports = Rooms / "rooms" {
        create "create" (request: Request<'_>) -> Result<RoomDraftOut, RefusalOut>;
    }
}

exports! {
    /// What `message-handler` exports.
    MessageExports = Messages / "messages" {
        receive "receive" (sender: u64, room: u64, frame: FrameIn<'_>) -> Result<ActionOut, RefusalOut>;
    }
}

exports! {
    /// What `event-handler` exports.
    EventExports = Events / "events" {
        message "message" (message: Message<'_>) -> String;
        join "join" (room: u64, user: User<&str>) -> Option<String>;
        leave "leave" (room: u64, user: User<&str>) -> Option<String>;
        refusal "refusal" (refusal: RefusalIn<'_>) -> String;
    }
}
