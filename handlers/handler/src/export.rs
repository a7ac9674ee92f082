//! The macros that export a component. Natively they check the type alone: the names of a component's exports are
//! none that native linkers accept.

/// Exports a type that implements [`rooms::Guest`](crate::rooms::Guest) as the component of `rooms.wasm`.
#[macro_export]
macro_rules! export_rooms {
    ($handler:ident) => {
        $crate::__export!(rooms, $handler);
    };
}

/// Exports a type that implements [`messages::Guest`](crate::messages::Guest) as the component of `messages.wasm`.
#[macro_export]
macro_rules! export_messages {
    ($handler:ident) => {
        $crate::__export!(messages, $handler);
    };
}

/// Exports a type that implements [`events::Guest`](crate::events::Guest) as the component of `events.wasm`.
#[macro_export]
macro_rules! export_events {
    ($handler:ident) => {
        $crate::__export!(events, $handler);
    };
}

/// Exports a type that implements [`middleware::Guest`](crate::middleware::Guest) as a middleware.
#[macro_export]
macro_rules! export_middleware {
    ($handler:ident) => {
        $crate::__export!(middleware, $handler);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($interface:ident, $handler:ident) => {
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::$interface::export!($handler with_types_in $crate::bindings::$interface);
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn is_handler<Handler: $crate::$interface::Guest>() {}
            is_handler::<$handler>()
        };
    };
}
