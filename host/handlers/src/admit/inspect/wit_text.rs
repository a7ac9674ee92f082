//! Types as WIT writes them, those of the contract by their names. Knows nothing of what they are compared for.

use super::contract::Contract;
use super::shape::{Mismatch, Shape, Signature};

/// Writes types with the names of this contract.
#[derive(Clone, Copy)]
pub(super) struct WitText<'a>(pub(super) &'a Contract);

impl WitText<'_> {
    /// `func(room: u64, user: user) -> option<string>`.
    pub(super) fn signature(self, signature: &Signature) -> String {
        let parameters = joined(&signature.parameters, |(name, shape)| format!("{name}: {}", self.shape(shape)));
        let result = signature.result.as_ref().map(|result| format!(" -> {}", self.shape(result)));
        format!("func({parameters}){}", result.unwrap_or_default())
    }

    /// The place, the wanted and the provided type.
    pub(super) fn mismatch(self, mismatch: &Mismatch<'_>) -> String {
        match mismatch {
            Mismatch::Signature(wanted, provided) => {
                format!("wanted {}, provided {}", self.signature(wanted), self.signature(provided))
            }
            // The names of known types would hide what differs in them.
            Mismatch::Type(place, Some(wanted), Some(provided)) => {
                format!("at {place}: wanted {}, provided {}", self.whole(wanted), self.whole(provided))
            }
            Mismatch::Type(place, wanted, provided) => {
                let text =
                    |shape: &Option<&Shape>| shape.map_or_else(|| "nothing".to_owned(), |shape| self.shape(shape));
                format!("at {place}: wanted {}, provided {}", text(wanted), text(provided))
            }
        }
    }

    fn shape(self, shape: &Shape) -> String {
        self.0.name_of(shape).map_or_else(|| self.whole(shape), str::to_owned)
    }

    /// A type with its parts, even when it has a name.
    fn whole(self, shape: &Shape) -> String {
        let text = |shape: &Shape| self.shape(shape);
        match shape {
            Shape::Plain(name) => (*name).to_owned(),
            Shape::List(item) => format!("list<{}>", text(item)),
            Shape::Option(some) => format!("option<{}>", text(some)),
            Shape::Result(None, None) => "result".to_owned(),
            Shape::Result(Some(ok), None) => format!("result<{}>", text(ok)),
            Shape::Result(None, Some(err)) => format!("result<_, {}>", text(err)),
            Shape::Result(Some(ok), Some(err)) => format!("result<{}, {}>", text(ok), text(err)),
            Shape::Tuple(items) => format!("tuple<{}>", joined(items, text)),
            Shape::Record(fields) => {
                format!("record {{ {} }}", joined(fields, |(name, shape)| format!("{name}: {}", text(shape))))
            }
            Shape::Variant(cases) => {
                let case = |(name, payload): &(String, Option<Shape>)| match payload {
                    Some(payload) => format!("{name}({})", text(payload)),
                    None => name.clone(),
                };
                format!("variant {{ {} }}", joined(cases, case))
            }
            Shape::Enum(names) => format!("enum {{ {} }}", names.join(", ")),
            Shape::Flags(names) => format!("flags {{ {} }}", names.join(", ")),
        }
    }
}

fn joined<T>(items: &[T], write: impl Fn(&T) -> String) -> String {
    items.iter().map(write).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use super::*;

    fn text() -> WitText<'static> {
        WitText(Contract::get().unwrap())
    }

    /// A function as the contract has it.
    fn function(interface: &str, name: &str) -> Signature {
        let interface = Contract::get().unwrap().interface(&format!("ondol:chat/{interface}@0.2.0")).unwrap();
        interface.functions.iter().find(|(function, _)| function == name).unwrap().1.clone()
    }

    fn join() -> Signature {
        function("events", "join")
    }

    fn mismatch(wanted: &Signature, provided: &Signature) -> Option<String> {
        wanted.mismatch(provided).map(|mismatch| text().mismatch(&mismatch))
    }

    #[test]
    fn a_mismatch_names_its_place_and_both_sides() {
        assert_eq!(mismatch(&join(), &join()), None);
        let mut other = join();
        let Some((_, Shape::Record(user))) = other.parameters.last_mut() else { unreachable!("a user is a record") };
        user.last_mut().unwrap().1 = Shape::Plain("string");
        assert_eq!(
            mismatch(&join(), &other).as_deref(),
            Some("at user.profile-url: wanted option<string>, provided string")
        );
        other.parameters.pop();
        let shown = mismatch(&join(), &other).unwrap();
        assert!(shown.contains("wanted func(room: u64, user: user) -> option<string>"), "{shown}");
    }

    #[test]
    fn a_record_with_another_field_is_shown_with_its_fields() {
        let setting = function("settings", "get");
        let mut other = setting.clone();
        other.result = Some(Shape::Record(vec![("x".to_owned(), Shape::Plain("u8"))]));
        assert_eq!(
            mismatch(&setting, &other).as_deref(),
            Some("at the answer: wanted option<string>, provided record { x: u8 }")
        );
    }

    #[test]
    fn signatures_are_written_as_wit_writes_them() {
        assert_eq!(text().signature(&join()), "func(room: u64, user: user) -> option<string>");
        let receive = "func(sender: u64, room: u64, frame: frame) -> result<action, refusal>";
        assert_eq!(text().signature(&function("messages", "receive")), receive);
        assert_eq!(text().signature(&Signature { parameters: Vec::new(), result: None }), "func()");
    }
}
