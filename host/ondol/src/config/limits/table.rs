//! What the table of limits becomes: a field, a default and a row for each.

/// One row for each limit: what it bounds, its name and type, default, unit and range, and whether a reload changes it (`live`)
/// or a `restart`. Times are `u64`, sizes and counts `usize`.
macro_rules! limits {
    ($($group:literal { $(
        $(#[doc = $doc:literal])+
        $name:ident: $type:ty = $default:expr, $unit:literal, $min:expr => $max:expr, $applies:ident;
    )+ })+) => {
        /// Every limit, in the unit that its name or the table says.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            $($($(#[doc = $doc])+ pub $name: $type,)+)+
            /// Overrides for single handlers, by handler and limit. Read with [`Limits::of`].
            pub(in crate::config) of_handlers: std::collections::BTreeMap<(&'static str, &'static str), u64>,
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($($name: $default,)+)+ of_handlers: Default::default() }
            }
        }

        impl Limits {
            /// The table of limits, in the order of declaration.
            pub const TABLE: &'static [super::Limit] = &[$($(super::Limit {
                name: stringify!($name),
                group: $group,
                default: $default as u64,
                unit: $unit,
                min: $min as u64,
                max: $max as u64,
                applies: crate::config::applies::applies!($applies),
                doc: concat!($($doc),+),
            },)+)+];

            /// Sets a limit to a value within its range.
            pub(super) fn put(&mut self, name: &str, value: u64) -> Option<Result<(), String>> {
                match name {
                    $($(stringify!($name) => match <$type>::try_from(value) {
                        Ok(value) => self.$name = value,
                        Err(error) => return Some(Err(error.to_string())),
                    },)+)+
                    _ => return None,
                }
                Some(Ok(()))
            }

            /// The value of a limit for all handlers. None: there is no such limit.
            pub(crate) fn get(&self, name: &str) -> Option<u64> {
                match name {
                    $($(stringify!($name) => Some(self.$name as u64),)+)+
                    _ => None,
                }
            }
        }
    };
}

pub(super) use limits;
