//! What a component exports and imports, for which world it fits, and every reason why not. Compiles, and runs nothing.

mod contract;
mod shape;
mod wit_text;

use std::fmt;

use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::{ComponentInstance, ComponentItem};

use super::component::compile;
use super::error::{AdmissionError, Stage};
use crate::compose::layers::{self, Layer};
use crate::run::kind::HandlerKind;
use crate::run::sandbox::Sandbox;
use contract::{Contract, Interface, MESSAGES, MIDDLEWARE, same_interface};
use shape::Signature;
use wit_text::WitText;

/// A page of linear memory.
const PAGE_BYTES: u64 = 65_536;

/// What a component is, without running it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How long the file is.
    pub bytes: usize,
    /// The SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
    /// What it exports.
    pub exports: Vec<Item>,
    /// What it imports.
    pub imports: Vec<Item>,
    /// The components that it is composed of, the front one first. Empty: it is not composed.
    pub layers: Vec<Layer>,
    /// Whether it fits the world of each handler, and that of middleware, under the limits of the sandbox.
    pub worlds: Vec<Fit>,
}

/// An interface or a function that a component exports or imports.
#[derive(Debug, Serialize)]
pub struct Item {
    /// Its name, with its version.
    pub name: String,
    /// Its functions, each with its type.
    pub functions: Vec<String>,
}

/// Whether a component fits one world.
#[derive(Debug, Serialize)]
pub struct Fit {
    /// The world, as `wit/worlds.wit` names it.
    pub world: &'static str,
    /// The file that it would be loaded from, or composed with.
    pub file: &'static str,
    /// Every reason why it does not fit. Empty: it fits.
    pub misfits: Vec<String>,
}

/// Says what `bytes` are.
///
/// # Errors
///
/// When they are no component, with what they are and what to do; or when they do not compile.
pub fn inspect(sandbox: &Sandbox, bytes: &[u8]) -> Result<Report, AdmissionError> {
    let component = compile(sandbox, bytes)?;
    let inspector = Inspector::new(&component, sandbox.engine())?;
    let ty = component.component_type();
    let engine = sandbox.engine();
    let needed = memory_bytes(&component);
    let memory = |handler| {
        let allowed = sandbox.limits().calls_of(Some(handler)).handler_memory_bytes_max;
        let why = format!("its memory begins with {needed} bytes, more than handler_memory_bytes_max = {allowed}");
        (needed > allowed as u64).then_some(why)
    };
    let worlds = HandlerKind::ALL.into_iter().map(|handler| Fit {
        world: handler.world(),
        file: handler.file_name(),
        misfits: inspector.misfits(handler).iter().map(ToString::to_string).chain(memory(handler)).collect(),
    });
    let mut middleware = inspector.middleware();
    middleware.misfits.extend(memory(HandlerKind::Messages));
    Ok(Report {
        bytes: bytes.len(),
        sha256: HEXLOWER.encode(&Sha256::digest(bytes)),
        exports: ty.exports(engine).map(|(name, export)| inspector.item(name, export.ty)).collect(),
        imports: ty.imports(engine).map(|(name, import)| inspector.item(name, import.ty)).collect(),
        layers: layers::read(bytes).unwrap_or_default(),
        worlds: worlds.chain([middleware]).collect(),
    })
}

/// The handlers whose worlds these bytes fit, whatever the limits.
///
/// # Errors
///
/// When they are no component, or do not compile.
pub fn fits(sandbox: &Sandbox, bytes: &[u8]) -> Result<Vec<HandlerKind>, AdmissionError> {
    let component = compile(sandbox, bytes)?;
    let inspector = Inspector::new(&component, sandbox.engine())?;
    Ok(HandlerKind::ALL.into_iter().filter(|handler| inspector.misfits(*handler).is_empty()).collect())
}

/// The size of the largest memory with which an instance begins.
fn memory_bytes(component: &Component) -> u64 {
    let resources = component.resources_required();
    resources.and_then(|resources| resources.max_initial_memory_size).unwrap_or(0).saturating_mul(PAGE_BYTES)
}

/// One reason why a component does not fit a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// It imports what no handler is given.
    Import {
        /// The interface or function, with its version.
        wanted: String,
        /// What comes nearest among what is given: the same interface in another version.
        provided: Option<String>,
    },
    /// It imports a function that the host has with another type.
    ImportType {
        /// `INTERFACE.FUNCTION`.
        function: String,
        /// How they differ.
        difference: String,
    },
    /// It does not export the interface.
    Export {
        /// The interface, with its version.
        wanted: String,
        /// What it exports instead.
        provided: Vec<String>,
    },
    /// It exports the interface without one of its functions.
    Function {
        /// `INTERFACE.FUNCTION`.
        function: String,
        /// The type that it would have.
        wanted: String,
    },
    /// It exports the function with another type.
    FunctionType {
        /// `INTERFACE.FUNCTION`.
        function: String,
        /// How they differ.
        difference: String,
    },
}

impl Misfit {
    /// Whether it imports what a messages handler exports, as a middleware does.
    fn is_handler(&self) -> bool {
        matches!(self, Self::Import { wanted, .. } if same_interface(wanted, MESSAGES))
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Import { wanted, provided: Some(provided) } => {
                write!(f, "it imports {wanted}; the host provides {provided}")
            }
            Self::Import { wanted, .. } if self.is_handler() => {
                write!(
                    f,
                    "it imports {wanted}, so it is a middleware: compose it with the messages handler behind it (`ondol \
                     compose`)"
                )
            }
            Self::Import { wanted, provided: None } => {
                write!(f, "it imports {wanted}; the host does not provide it")
            }
            Self::ImportType { function, difference } => {
                write!(f, "it imports {function} with another type: {difference}")
            }
            Self::Export { wanted, provided } if provided.is_empty() => {
                write!(f, "it does not export {wanted}; it exports nothing")
            }
            Self::Export { wanted, provided } => {
                write!(f, "it does not export {wanted}; it exports {}", provided.join(", "))
            }
            Self::Function { function, wanted } => write!(f, "it does not export {function}: {wanted}"),
            Self::FunctionType { function, difference } => {
                write!(f, "it exports {function} with another type: {difference}")
            }
        }
    }
}

/// Compares a component with the contract.
pub(crate) struct Inspector<'a> {
    component: &'a Component,
    engine: &'a Engine,
    contract: &'static Contract,
}

impl<'a> Inspector<'a> {
    pub(crate) fn new(component: &'a Component, engine: &'a Engine) -> Result<Self, AdmissionError> {
        let contract = Contract::get().map_err(|error| AdmissionError::because(Stage::Exports, error))?;
        Ok(Self { component, engine, contract })
    }

    /// Every import that the host does not meet, whatever the world.
    pub(crate) fn unmet_imports(&self) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        for (name, item) in self.component.component_type().imports(self.engine) {
            match &item.ty {
                ComponentItem::ComponentInstance(interface) => {
                    if !self.contract.is_provided(name) {
                        // An interface of types alone asks nothing of the host.
                        if self.exports_more_than_types(interface) {
                            let provided = self.contract.other_version(name);
                            misfits.push(Misfit::Import { wanted: name.to_owned(), provided });
                        }
                    } else if let Some(given) = self.contract.interface(name) {
                        misfits.extend(self.unmet_functions(given, interface));
                    }
                }
                ComponentItem::Type(_) => {}
                _ => misfits.push(Misfit::Import { wanted: name.to_owned(), provided: None }),
            }
        }
        misfits
    }

    fn exports_more_than_types(&self, interface: &ComponentInstance) -> bool {
        interface.exports(self.engine).any(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
    }

    /// Every reason why it does not fit the world of a handler.
    fn misfits(&self, handler: HandlerKind) -> Vec<Misfit> {
        [self.unmet_imports(), self.unmet_exports(handler)].concat()
    }

    /// Whether it can run in front of a messages handler.
    fn middleware(&self) -> Fit {
        let (behind, mut unmet): (Vec<_>, Vec<_>) = self.unmet_imports().into_iter().partition(Misfit::is_handler);
        unmet.extend(self.contract.middleware_exports().flat_map(|wanted| self.unmet_interface(wanted)));
        let mut misfits: Vec<String> = unmet.iter().map(ToString::to_string).collect();
        if behind.is_empty() {
            misfits.push("it does not import ondol:chat/messages, so it passes nothing on".to_owned());
        }
        Fit { world: MIDDLEWARE, file: "in front of messages.wasm", misfits }
    }

    /// The functions that a component imports of an interface and that the interface does not have so.
    fn unmet_functions(&self, given: &Interface, imported: &ComponentInstance) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        for (name, item) in imported.exports(self.engine) {
            let function = format!("{}.{name}", short(&given.name));
            match &item.ty {
                ComponentItem::ComponentFunc(ty) => match given.function(name) {
                    Some(given) => {
                        if let Some(difference) = self.difference(given, &Signature::of(ty)) {
                            misfits.push(Misfit::ImportType { function, difference });
                        }
                    }
                    None => misfits.push(Misfit::Import { wanted: function, provided: None }),
                },
                ComponentItem::Type(_) => {}
                _ => misfits.push(Misfit::Import { wanted: function, provided: None }),
            }
        }
        misfits
    }

    /// Every export of the handler's world that the component does not have so.
    pub(crate) fn unmet_exports(&self, handler: HandlerKind) -> Vec<Misfit> {
        self.contract.exports(handler).flat_map(|wanted| self.unmet_interface(wanted)).collect()
    }

    fn unmet_interface(&self, wanted: &Interface) -> Vec<Misfit> {
        let ty = self.component.component_type();
        let found = ty.exports(self.engine).find_map(|(name, item)| match item.ty {
            ComponentItem::ComponentInstance(interface) if same_interface(name, &wanted.name) => Some(interface),
            _ => None,
        });
        let Some(interface) = found else {
            let provided = ty.exports(self.engine).map(|(name, _)| name.to_owned()).collect();
            return vec![Misfit::Export { wanted: wanted.name.clone(), provided }];
        };
        let mut misfits = Vec::new();
        for (name, signature) in &wanted.functions {
            let function = format!("{}.{name}", short(&wanted.name));
            match interface.get_export(self.engine, name).map(|item| item.ty) {
                Some(ComponentItem::ComponentFunc(ty)) => {
                    if let Some(difference) = self.difference(signature, &Signature::of(&ty)) {
                        misfits.push(Misfit::FunctionType { function, difference });
                    }
                }
                _ => misfits.push(Misfit::Function { function, wanted: self.text().signature(signature) }),
            }
        }
        misfits
    }

    fn difference(&self, wanted: &Signature, provided: &Signature) -> Option<String> {
        wanted.mismatch(provided).map(|mismatch| self.text().mismatch(&mismatch))
    }

    fn item(&self, name: &str, item: ComponentItem) -> Item {
        let function = |name: &str, signature| format!("{name}: {}", self.text().signature(&signature));
        let functions = match item {
            ComponentItem::ComponentInstance(interface) => interface
                .exports(self.engine)
                .filter_map(|(name, item)| match item.ty {
                    ComponentItem::ComponentFunc(ty) => Some(function(name, Signature::of(&ty))),
                    _ => None,
                })
                .collect(),
            ComponentItem::ComponentFunc(ty) => vec![function(name, Signature::of(&ty))],
            _ => Vec::new(),
        };
        Item { name: name.to_owned(), functions }
    }

    fn text(&self) -> WitText<'static> {
        WitText(self.contract)
    }
}

/// `messages` of `ondol:chat/messages@0.2.0`.
pub(crate) fn short(interface: &str) -> &str {
    let bare = interface.split_once('@').map_or(interface, |(bare, _)| bare);
    bare.rsplit_once('/').map_or(bare, |(_, short)| short)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use std::path::Path;

    use super::*;
    use crate::run::limits::HandlersLimits;

    /// A default handler, as `make handlers` has built it.
    fn built(handler: HandlerKind) -> Vec<u8> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/handlers");
        std::fs::read(directory.join(handler.file_name())).expect("`make handlers` comes first")
    }

    fn sandbox() -> Sandbox {
        Sandbox::new(&HandlersLimits::for_tests().sandbox, None).unwrap()
    }

    #[test]
    fn each_default_handler_fits_its_own_world_and_no_other() {
        let sandbox = sandbox();
        for handler in HandlerKind::ALL {
            let report = inspect(&sandbox, &built(handler)).unwrap();
            for fit in &report.worlds {
                assert_eq!(fit.misfits.is_empty(), fit.world == handler.world(), "{handler}: {fit:?}");
            }
            assert_eq!(fits(&sandbox, &built(handler)).unwrap(), [handler]);
        }
    }

    #[test]
    fn a_handler_of_another_world_is_shown_what_is_wanted_and_what_it_exports() {
        let report = inspect(&sandbox(), &built(HandlerKind::Rooms)).unwrap();
        let [_, _, events, _] = &report.worlds[..] else { unreachable!("there are four worlds") };
        assert_eq!(events.misfits, ["it does not export ondol:chat/events@0.2.0; it exports ondol:chat/rooms@0.2.0"]);
    }

    #[test]
    fn other_files_are_named_for_what_they_are() {
        let error = inspect(&sandbox(), b"(component)").unwrap_err().to_string();
        assert!(error.contains("WebAssembly text"), "{error}");
        let error = inspect(&sandbox(), b"\0asm\x0d\0\x01\0\x63\x01\0").unwrap_err().to_string();
        assert!(error.starts_with("it does not compile: "), "{error}");
    }
}
