//! What the three worlds export: found once for a component, and checked once for each instance.

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use super::contract::{events, messages, rooms};
use super::kind::HandlerKind;
use super::state::State;

/// The exports of one world, in one instance.
pub(crate) trait Exports: Sized + Send + 'static {
    /// The handler that exports them.
    const KIND: HandlerKind;

    /// Where they are in a component.
    type Indices: Send + Sync + 'static;

    /// Finds them in a component. Fails, naming the function, when one is missing.
    fn find(linked: &InstancePre<State>) -> wasmtime::Result<Self::Indices>;

    /// Those of an instance. Fails when one has another type.
    fn load(indices: &Self::Indices, store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<Self>;
}

macro_rules! exports {
    ($($interface:ident: $kind:ident;)+) => {
        $(impl Exports for $interface::Guest {
            const KIND: HandlerKind = HandlerKind::$kind;

            type Indices = $interface::GuestIndices;

            fn find(linked: &InstancePre<State>) -> wasmtime::Result<Self::Indices> {
                $interface::GuestIndices::new(linked)
            }

            fn load(indices: &Self::Indices, store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<Self> {
                indices.load(store, instance)
            }
        })+
    };
}

exports! {
    rooms: Rooms;
    messages: Messages;
    events: Events;
}
