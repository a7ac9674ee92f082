//! Types of the component model as plain values, so that a type that is wanted can be held against one that is there, and
//! both can be written as WIT writes them. Knows nothing of what is wanted.

use std::fmt;

use wasmtime::component::Type;
use wasmtime::component::types::ComponentFunc;

use super::wanted;

/// A type, with everything in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A type without parts, by its name.
    Plain(&'static str),
    List(Box<Self>),
    Option(Box<Self>),
    Result(Option<Box<Self>>, Option<Box<Self>>),
    Tuple(Vec<Self>),
    Record(Vec<(String, Self)>),
    Variant(Vec<(String, Option<Self>)>),
    Enum(Vec<String>),
    Flags(Vec<String>),
}

/// A function's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) parameters: Vec<(String, Shape)>,
    pub(super) result: Option<Shape>,
}

impl Signature {
    pub(super) fn of(function: &ComponentFunc) -> Self {
        Self {
            parameters: function.params().map(|(name, ty)| (name.to_owned(), Shape::of(&ty))).collect(),
            result: function.results().next().map(|ty| Shape::of(&ty)),
        }
    }

    /// Where `provided` first differs from this one, both sides named. None: it does not.
    pub(super) fn difference(&self, provided: &Self) -> Option<String> {
        if self.parameters.len() != provided.parameters.len() {
            return Some(beside(self, provided));
        }
        for ((name, wanted), (_, provided)) in self.parameters.iter().zip(&provided.parameters) {
            if let Some((place, difference)) = wanted.difference(provided) {
                return Some(format!("at {name}{place}: {difference}"));
            }
        }
        match (&self.result, &provided.result) {
            (Some(wanted), Some(provided)) => {
                wanted.difference(provided).map(|(place, difference)| format!("at the answer{place}: {difference}"))
            }
            (None, None) => None,
            _ => Some(beside(self, provided)),
        }
    }
}

fn beside(wanted: &impl fmt::Display, provided: &impl fmt::Display) -> String {
    format!("wanted {wanted}, provided {provided}")
}

impl Shape {
    pub(super) fn of(ty: &Type) -> Self {
        let boxed = |ty: &Type| Box::new(Self::of(ty));
        match ty {
            Type::Bool => Self::Plain("bool"),
            Type::S8 => Self::Plain("s8"),
            Type::U8 => Self::Plain("u8"),
            Type::S16 => Self::Plain("s16"),
            Type::U16 => Self::Plain("u16"),
            Type::S32 => Self::Plain("s32"),
            Type::U32 => Self::Plain("u32"),
            Type::S64 => Self::Plain("s64"),
            Type::U64 => Self::Plain("u64"),
            Type::Float32 => Self::Plain("f32"),
            Type::Float64 => Self::Plain("f64"),
            Type::Char => Self::Plain("char"),
            Type::String => Self::Plain("string"),
            Type::List(list) => Self::List(boxed(&list.ty())),
            Type::Option(option) => Self::Option(boxed(&option.ty())),
            Type::Result(result) => Self::Result(result.ok().as_ref().map(boxed), result.err().as_ref().map(boxed)),
            Type::Tuple(tuple) => Self::Tuple(tuple.types().map(|ty| Self::of(&ty)).collect()),
            Type::Record(record) => {
                Self::Record(record.fields().map(|field| (field.name.to_owned(), Self::of(&field.ty))).collect())
            }
            Type::Variant(variant) => Self::Variant(
                variant.cases().map(|case| (case.name.to_owned(), case.ty.as_ref().map(Self::of))).collect(),
            ),
            Type::Enum(names) => Self::Enum(names.names().map(str::to_owned).collect()),
            Type::Flags(names) => Self::Flags(names.names().map(str::to_owned).collect()),
            Type::Own(_) => Self::Plain("a resource"),
            Type::Borrow(_) => Self::Plain("a borrowed resource"),
            Type::Future(_) => Self::Plain("a future"),
            Type::Stream(_) => Self::Plain("a stream"),
            Type::ErrorContext => Self::Plain("error-context"),
            Type::Map(_) => Self::Plain("a map"),
            Type::FixedLengthList(_) => Self::Plain("a list of fixed length"),
        }
    }

    /// The innermost place at which `provided` differs, and how.
    fn difference(&self, provided: &Self) -> Option<(String, String)> {
        if self == provided {
            return None;
        }
        let inner = match (self, provided) {
            (Self::List(wanted), Self::List(provided)) | (Self::Option(wanted), Self::Option(provided)) => {
                wanted.difference(provided)
            }
            (Self::Result(ok, err), Self::Result(other_ok, other_err)) => {
                part(".ok", ok.as_deref(), other_ok.as_deref())
                    .or_else(|| part(".err", err.as_deref(), other_err.as_deref()))
            }
            (Self::Record(wanted), Self::Record(provided)) if same_names(wanted, provided) => wanted
                .iter()
                .zip(provided)
                .find_map(|((name, wanted), (_, provided))| part(&format!(".{name}"), Some(wanted), Some(provided))),
            (Self::Variant(wanted), Self::Variant(provided)) if same_names(wanted, provided) => {
                wanted.iter().zip(provided).find_map(|((name, wanted), (_, provided))| {
                    part(&format!(".{name}"), wanted.as_ref(), provided.as_ref())
                })
            }
            _ => None,
        };
        // The names of known types would hide what differs in them.
        Some(inner.unwrap_or_else(|| (String::new(), beside(&Whole(self), &Whole(provided)))))
    }
}

fn same_names<T>(wanted: &[(String, T)], provided: &[(String, T)]) -> bool {
    wanted.iter().map(|(name, _)| name).eq(provided.iter().map(|(name, _)| name))
}

fn part(place: &str, wanted: Option<&Shape>, provided: Option<&Shape>) -> Option<(String, String)> {
    match (wanted, provided) {
        (Some(wanted), Some(provided)) => {
            wanted.difference(provided).map(|(inner, difference)| (format!("{place}{inner}"), difference))
        }
        (None, None) => None,
        (Some(wanted), None) => Some((place.to_owned(), format!("wanted {wanted}, provided nothing"))),
        (None, Some(provided)) => Some((place.to_owned(), format!("wanted nothing, provided {provided}"))),
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "func(")?;
        for (index, (name, shape)) in self.parameters.iter().enumerate() {
            write!(f, "{}{name}: {shape}", if index == 0 { "" } else { ", " })?;
        }
        write!(f, ")")?;
        self.result.as_ref().map_or(Ok(()), |result| write!(f, " -> {result}"))
    }
}

/// As WIT writes it, a type of this contract by its name.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match wanted::name_of(self) {
            Some(name) => f.write_str(name),
            None => Whole(self).fmt(f),
        }
    }
}

/// A type with its parts, even when it has a name.
struct Whole<'a>(&'a Shape);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Shape::Plain(name) => f.write_str(name),
            Shape::List(item) => write!(f, "list<{item}>"),
            Shape::Option(some) => write!(f, "option<{some}>"),
            Shape::Result(None, None) => write!(f, "result"),
            Shape::Result(Some(ok), None) => write!(f, "result<{ok}>"),
            Shape::Result(None, Some(err)) => write!(f, "result<_, {err}>"),
            Shape::Result(Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
            Shape::Tuple(items) => write!(f, "tuple<{}>", joined(items, ToString::to_string)),
            Shape::Record(fields) => {
                write!(f, "record {{ {} }}", joined(fields, |(name, shape)| format!("{name}: {shape}")))
            }
            Shape::Variant(cases) => write!(
                f,
                "variant {{ {} }}",
                joined(cases, |(name, payload)| match payload {
                    Some(payload) => format!("{name}({payload})"),
                    None => name.clone(),
                })
            ),
            Shape::Enum(names) => write!(f, "enum {{ {} }}", names.join(", ")),
            Shape::Flags(names) => write!(f, "flags {{ {} }}", names.join(", ")),
        }
    }
}

fn joined<T>(items: &[T], write: impl Fn(&T) -> String) -> String {
    items.iter().map(write).collect::<Vec<_>>().join(", ")
}
