//! Types of the component model as plain values, so that a wanted type can be compared with the one that is there.
//! Knows nothing of which types are wanted.

use wasmtime::component::Type;
use wasmtime::component::types::ComponentFunc;

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

/// Where two function types differ.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mismatch<'a> {
    /// As a whole.
    Signature(&'a Signature, &'a Signature),
    /// At an argument or the result, or inside of one: the wanted and the provided type there.
    Type(String, Option<&'a Shape>, Option<&'a Shape>),
}

impl Signature {
    pub(super) fn of(function: &ComponentFunc) -> Self {
        Self {
            parameters: function.params().map(|(name, ty)| (name.to_owned(), Shape::of(&ty))).collect(),
            result: function.results().next().map(|ty| Shape::of(&ty)),
        }
    }

    /// Where `provided` first differs from this one.
    pub(super) fn mismatch<'a>(&'a self, provided: &'a Self) -> Option<Mismatch<'a>> {
        let results = (&self.result, &provided.result);
        if self.parameters.len() != provided.parameters.len() || results.0.is_some() != results.1.is_some() {
            return Some(Mismatch::Signature(self, provided));
        }
        let mut parameters = self.parameters.iter().zip(&provided.parameters);
        let argument =
            parameters.find_map(|((name, wanted), (_, provided))| part(name.clone(), Some(wanted), Some(provided)));
        argument.or_else(|| part("the answer".to_owned(), results.0.as_ref(), results.1.as_ref()))
    }
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
}

/// The innermost part at which two types differ. `place` names this one.
fn part<'a>(place: String, wanted: Option<&'a Shape>, provided: Option<&'a Shape>) -> Option<Mismatch<'a>> {
    if wanted == provided {
        return None;
    }
    let inner = match (wanted, provided) {
        (Some(Shape::List(wanted)), Some(Shape::List(provided)))
        | (Some(Shape::Option(wanted)), Some(Shape::Option(provided))) => {
            part(place.clone(), Some(wanted), Some(provided))
        }
        (Some(Shape::Result(ok, err)), Some(Shape::Result(other_ok, other_err))) => {
            part(format!("{place}.ok"), ok.as_deref(), other_ok.as_deref())
                .or_else(|| part(format!("{place}.err"), err.as_deref(), other_err.as_deref()))
        }
        (Some(Shape::Record(wanted)), Some(Shape::Record(provided))) if same_names(wanted, provided) => {
            let mut fields = wanted.iter().zip(provided);
            fields.find_map(|((name, wanted), (_, provided))| {
                part(format!("{place}.{name}"), Some(wanted), Some(provided))
            })
        }
        (Some(Shape::Variant(wanted)), Some(Shape::Variant(provided))) if same_names(wanted, provided) => {
            let mut cases = wanted.iter().zip(provided);
            cases.find_map(|((name, wanted), (_, provided))| {
                part(format!("{place}.{name}"), wanted.as_ref(), provided.as_ref())
            })
        }
        _ => None,
    };
    inner.or(Some(Mismatch::Type(place, wanted, provided)))
}

fn same_names<T>(wanted: &[(String, T)], provided: &[(String, T)]) -> bool {
    wanted.iter().map(|(name, _)| name).eq(provided.iter().map(|(name, _)| name))
}
