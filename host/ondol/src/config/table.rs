//! The tables of settings: one row for each, from which its field, its default, its name and its reader follow.

use super::applies::Applies;

/// One row of a table of settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The values that it takes, in the words of an error.
    pub(super) takes: &'static str,
    pub(super) applies: Applies,
    pub(super) doc: &'static str,
}

/// Declares a struct. Its rows are settings: documentation, field and name (the field's own unless `as` gives another),
/// type and default, how it is read, the values that it takes in the words of an error, and whether a reload changes it (`live`)
/// or a `restart`. The braces after the struct's name hold its other fields, which start with their own defaults.
macro_rules! table {
    (
        $(#[doc = $struct_doc:literal])+
        $struct:ident { $($(#[doc = $other_doc:literal])+ $other:ident: $other_type:ty,)* }
        $($(#[doc = $doc:literal])+ $field:ident $(as $name:literal)?: $type:ty = $default:expr, $read:expr, $takes:literal, $applies:ident;)+
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

            /// The rows, in their order.
            pub(in crate::config) const ROWS: &[$crate::config::table::Row] = &[$($crate::config::table::Row {
                name: table!(@name $field $($name)?),
                takes: $takes,
                applies: $crate::config::applies::applies!($applies),
                doc: concat!($($doc),+),
            }),+];

            /// The value of each row in TOML, in their order. None: it has none.
            pub(in crate::config) fn values(&self) -> Vec<Option<String>> {
                vec![$($crate::config::shown::Shown::shown(&self.$field)),+]
            }

            /// Takes over a row of another one.
            #[allow(dead_code, reason = "for tables with rows that are live")]
            pub(in crate::config) fn take_row(&mut self, name: &str, other: &Self) {
                match name {
                    $(table!(@name $field $($name)?) => self.$field.clone_from(&other.$field),)+
                    _ => {}
                }
            }

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
