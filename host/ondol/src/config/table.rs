//! The tables of settings: one row for each, from which its field, its default, its name and its reader follow.

/// Declares a struct. Its rows are settings: documentation, field and name (the field's own unless `as` gives another),
/// type and default, how it is read, and the values that it takes in the words of an error. The braces after the struct's
/// name hold its other fields, which start with their own defaults.
macro_rules! table {
    (
        $(#[doc = $struct_doc:literal])+
        $struct:ident { $($(#[doc = $other_doc:literal])+ $other:ident: $other_type:ty,)* }
        $($(#[doc = $doc:literal])+ $field:ident $(as $name:literal)?: $type:ty = $default:expr, $read:expr, $takes:literal;)+
    ) => {
        $(#[doc = $struct_doc])+
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $struct {
            $($(#[doc = $doc])+ pub $field: $type,)+
            $($(#[doc = $other_doc])+ pub $other: $other_type,)*
        }

        impl Default for $struct {
            fn default() -> Self {
                Self { $($field: $default,)+ $($other: Default::default(),)* }
            }
        }

        impl $struct {
            /// The names of the rows, in their order.
            pub(super) const NAMES: &[&str] = &[$(table!(@name $field $($name)?)),+];

            /// Sets a row by its name. None for any other name. An error lists the values that the row takes.
            pub(in crate::config) fn set_row(&mut self, name: &str, given: &Given) -> Option<Result<(), String>> {
                match name {
                    $(table!(@name $field $($name)?) => Some(match $read(given) {
                        Some(value) => {
                            self.$field = value;
                            Ok(())
                        }
                        None => Err($takes.to_owned()),
                    }),)+
                    _ => None,
                }
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
}

pub(super) use table;
