//! Calls by name with JSON, for the tools: an interface's function, an array of arguments, and the answer. The call
//! itself runs as it does in the server, under the same limits. Knows types only as the component declares them.

mod read;
mod session;
mod write;

use std::fmt;

use serde_json::Value as Json;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, InstancePre, Type, Val};

use super::component::{compile, link};
use super::error::{AdmissionError, Stage};
use super::inspect::{Inspector, short};
use crate::run::answers;
use crate::run::fault::Cause;
use crate::run::instance::Cost;
use crate::run::kind::SettingsMap;
use crate::run::sandbox::Sandbox;
use crate::run::state::State;
use read::{Reader, Unreadable};
pub use session::Session;

/// Calls a component's functions by name.
pub struct DynamicCaller<'a> {
    sandbox: &'a Sandbox,
    component: Component,
    linked: InstancePre<State>,
}

/// The outcome of a call, and its cost.
#[derive(Debug)]
pub struct Called {
    /// The outcome.
    pub outcome: Outcome,
    /// The cost.
    pub cost: Cost,
}

/// The outcome of a call.
#[derive(Debug)]
pub enum Outcome {
    /// An answer; of a `result`, its ok.
    Answer(Json),
    /// A refusal: the err of a `result`.
    Refusal(Json),
    /// It failed.
    Fault(Cause),
}

/// A call that was not made.
#[derive(Debug, thiserror::Error)]
pub enum DynamicCallError {
    /// It exports no such function.
    #[error("it exports no function `{name}`; it exports {}", listed(known))]
    Unknown {
        /// The name as it was given.
        name: String,
        /// The functions that there are.
        known: Vec<String>,
    },
    /// The number of arguments is wrong.
    #[error("{function} takes {wanted} ({names}); got {got}")]
    Count {
        /// The function.
        function: String,
        /// How many it takes, as a phrase.
        wanted: String,
        /// What they are called.
        names: String,
        /// How many there were.
        got: usize,
    },
    /// An argument is not of its type.
    #[error("{0}")]
    Argument(#[from] Unreadable),
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl<'a> DynamicCaller<'a> {
    /// Calls the component that `bytes` are.
    ///
    /// # Errors
    ///
    /// When they are no component, do not compile, or import what the host does not provide: every such import.
    pub fn new(sandbox: &'a Sandbox, bytes: &[u8]) -> Result<Self, AdmissionError> {
        Self::of_component(sandbox, compile(sandbox, bytes)?)
    }

    /// Calls a component that is compiled already.
    pub(crate) fn of_component(sandbox: &'a Sandbox, component: Component) -> Result<Self, AdmissionError> {
        let unmet = Inspector::new(&component, sandbox.engine())?.unmet_imports();
        if !unmet.is_empty() {
            let reasons = unmet.iter().map(ToString::to_string).collect();
            return Err(AdmissionError { stage: Stage::Imports, reasons });
        }
        let linked = link(sandbox, &component)?;
        Ok(Self { sandbox, component, linked })
    }

    /// The names of the functions that can be called: `INTERFACE.FUNCTION`.
    #[must_use]
    pub fn functions(&self) -> Vec<String> {
        self.exports().into_iter().map(|export| export.name).collect()
    }

    /// A session under `settings`. Its first call makes its instance.
    #[must_use]
    pub fn session(&self, settings: &SettingsMap) -> Session<'_> {
        Session::new(self, settings)
    }

    /// Makes one call of `name` (`INTERFACE.FUNCTION`) in a fresh instance under `settings`. `arguments` is the array
    /// of arguments, or the argument itself where the function takes one.
    ///
    /// # Errors
    ///
    /// When there is no such function, or an argument is not of its type. A fault is an outcome here, and no error.
    pub fn call(&self, name: &str, arguments: &Json, settings: &SettingsMap) -> Result<Called, DynamicCallError> {
        self.session(settings).call(name, arguments)
    }

    /// Reads `json` as an answer of `name`; of a `result`, as its ok. Returns it in the form of [`Outcome::Answer`]:
    /// with the fields that were left out.
    ///
    /// # Errors
    ///
    /// When there is no such function, or its answers are of another type.
    pub fn answer(&self, name: &str, json: &Json) -> Result<Json, DynamicCallError> {
        let ty = match self.export(name)?.function.results().next() {
            Some(Type::Result(result)) => result.ok(),
            other => other,
        };
        match ty {
            Some(ty) => Ok(write::json(&Reader::default().value(&ty, json, "the expected answer")?)),
            None => Ok(Json::Null),
        }
    }

    fn export(&self, name: &str) -> Result<Export, DynamicCallError> {
        let mut exports = self.exports();
        match exports.iter().position(|export| export.name == name || export.name == name.replace('_', "-")) {
            Some(index) => Ok(exports.swap_remove(index)),
            None => {
                let known = exports.into_iter().map(|export| export.name).collect();
                Err(DynamicCallError::Unknown { name: name.to_owned(), known })
            }
        }
    }

    fn exports(&self) -> Vec<Export> {
        let engine = self.sandbox.engine();
        let ty = self.component.component_type();
        let mut exports = Vec::new();
        for (interface, item) in ty.exports(engine) {
            match item.ty {
                ComponentItem::ComponentInstance(instance) => {
                    for (name, item) in instance.exports(engine) {
                        if let ComponentItem::ComponentFunc(function) = item.ty {
                            let path = (Some(interface.to_owned()), name.to_owned());
                            exports.push(Export { name: format!("{}.{name}", short(interface)), path, function });
                        }
                    }
                }
                ComponentItem::ComponentFunc(function) => {
                    let path = (None, interface.to_owned());
                    exports.push(Export { name: interface.to_owned(), path, function });
                }
                _ => {}
            }
        }
        exports
    }
}

/// What the server makes of an outcome: an answer that breaks the contract is a fault.
fn checked(function: &str, outcome: Outcome) -> Outcome {
    let checked = match &outcome {
        Outcome::Answer(answer) => answers::check_answer(function, answer),
        Outcome::Refusal(refusal) => answers::check_refusal(function, refusal),
        Outcome::Fault(_) => Ok(()),
    };
    checked.map_or_else(Outcome::Fault, |()| outcome)
}

fn outcome_of(answer: Option<Val>) -> Outcome {
    let json = |value: Option<Box<Val>>| value.map_or(Json::Null, |value| write::json(&value));
    match answer {
        Some(Val::Result(Ok(ok))) => Outcome::Answer(json(ok)),
        Some(Val::Result(Err(err))) => Outcome::Refusal(json(err)),
        Some(other) => Outcome::Answer(write::json(&other)),
        None => Outcome::Answer(Json::Null),
    }
}

/// A function that a component exports.
struct Export {
    name: String,
    /// The interface, if it is in one, and the function's name in it.
    path: (Option<String>, String),
    function: ComponentFunc,
}

impl Export {
    fn arguments(&self, json: &Json, reader: &mut Reader) -> Result<Vec<Val>, DynamicCallError> {
        let parameters: Vec<(&str, Type)> = self.function.params().collect();
        let given = match json {
            Json::Array(items) if items.len() == parameters.len() => items.as_slice(),
            // A lone argument that is no array, or a list for the one function that takes a list.
            other if parameters.len() == 1 && !other.is_array() => std::slice::from_ref(other),
            other => return Err(self.count(&parameters, other.as_array().map_or(1, Vec::len))),
        };
        let read =
            |((name, ty), json): (&(&str, Type), &Json)| reader.value(ty, json, name).map_err(DynamicCallError::from);
        parameters.iter().zip(given).map(read).collect()
    }

    fn count(&self, parameters: &[(&str, Type)], got: usize) -> DynamicCallError {
        DynamicCallError::Count {
            function: self.name.clone(),
            wanted: match parameters.len() {
                1 => "1 argument".to_owned(),
                number => format!("an array of {number} arguments"),
            },
            names: parameters.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
            got,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(answer) => write!(f, "the answer {answer}"),
            Self::Refusal(refusal) => write!(f, "the refusal {refusal}"),
            Self::Fault(cause) => write!(f, "a fault: {cause}"),
        }
    }
}

#[cfg(test)]
mod tests;
