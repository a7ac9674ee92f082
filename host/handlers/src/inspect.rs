//! What a file is, what a component exports and imports, for which world it fits, and every reason why not. Knows types,
//! and runs nothing but the loader's own trial.

mod file;
mod shape;
mod wanted;

use std::fmt;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::{ComponentInstance, ComponentItem};

pub(super) use file::{FileKind, is_unfinished, kind};
use shape::Signature;

use super::SettingsMap;
use super::kind::{HandlerKind, VersionId};
use super::load::{LoadError, Stage, load};
use super::sandbox::Sandbox;

/// One reason why a component does not fit a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
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

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Import { wanted, provided: Some(provided) } => {
                write!(f, "it imports {wanted}; the host provides {provided}")
            }
            Self::Import { wanted, provided: None } => {
                write!(f, "it imports {wanted}; the host provides no such thing")
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

/// Every reason why `component` does not fit the world of `handler`. None: it fits.
pub(super) fn misfits(component: &Component, engine: &Engine, handler: HandlerKind) -> Vec<Misfit> {
    let mut misfits = unmet_imports(component, engine);
    misfits.extend(unmet_exports(component, engine, handler));
    misfits
}

/// Every import that the host does not meet, whatever the world.
pub(super) fn unmet_imports(component: &Component, engine: &Engine) -> Vec<Misfit> {
    let ty = component.component_type();
    let mut misfits = Vec::new();
    for (name, item) in ty.imports(engine) {
        match &item.ty {
            ComponentItem::ComponentInstance(interface) => {
                if !wanted::is_provided(name) {
                    // An interface of types alone asks nothing of the host.
                    if exports_more_than_types(interface, engine) {
                        misfits.push(Misfit::Import { wanted: name.to_owned(), provided: wanted::other_version(name) });
                    }
                } else if let Some((bare, given)) = given(name) {
                    misfits.extend(unmet_functions(bare, &given, interface, engine));
                }
            }
            ComponentItem::Type(_) => {}
            _ => misfits.push(Misfit::Import { wanted: name.to_owned(), provided: None }),
        }
    }
    misfits
}

fn exports_more_than_types(interface: &ComponentInstance, engine: &Engine) -> bool {
    interface.exports(engine).any(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
}

/// The short name of an interface that this contract gives a component, and its function.
fn given(interface: &str) -> Option<(&str, Signature)> {
    let (bare, _) = interface.strip_prefix("ondol:chat/")?.split_once('@')?;
    Some((bare, wanted::given(bare)?))
}

fn unmet_functions(bare: &str, given: &Signature, interface: &ComponentInstance, engine: &Engine) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    for (name, item) in interface.exports(engine) {
        let function = format!("{bare}.{name}");
        match (name, &item.ty) {
            ("get", ComponentItem::ComponentFunc(ty)) => {
                if let Some(difference) = given.difference(&Signature::of(ty)) {
                    misfits.push(Misfit::ImportType { function, difference });
                }
            }
            (_, ComponentItem::Type(_)) => {}
            _ => misfits.push(Misfit::Import { wanted: function, provided: None }),
        }
    }
    misfits
}

/// Every export of the handler's world that the component does not have as it is there.
pub(super) fn unmet_exports(component: &Component, engine: &Engine, handler: HandlerKind) -> Vec<Misfit> {
    let ty = component.component_type();
    let wanted = wanted::interface(handler.name());
    let found = ty.exports(engine).find_map(|(name, item)| match item.ty {
        ComponentItem::ComponentInstance(interface) if wanted::same_interface(name, &wanted) => Some(interface),
        _ => None,
    });
    let Some(interface) = found else {
        let provided = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
        return vec![Misfit::Export { wanted, provided }];
    };
    let mut misfits = Vec::new();
    for (name, signature) in wanted::functions(handler) {
        let function = format!("{handler}.{name}");
        match interface.get_export(engine, name).map(|item| item.ty) {
            Some(ComponentItem::ComponentFunc(ty)) => {
                if let Some(difference) = signature.difference(&Signature::of(&ty)) {
                    misfits.push(Misfit::FunctionType { function, difference });
                }
            }
            _ => misfits.push(Misfit::Function { function, wanted: signature.to_string() }),
        }
    }
    misfits
}

/// What there is to say about a component without running it.
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
    /// How it stands to each of the three worlds.
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

/// How a component stands to one world.
#[derive(Debug, Serialize)]
pub struct Fit {
    /// The world, as `wit/worlds.wit` names it.
    pub world: &'static str,
    /// The file that it would be loaded from.
    pub file: &'static str,
    /// Every reason why it does not fit. Empty: it does.
    pub misfits: Vec<String>,
}

impl Sandbox {
    /// Says what `bytes` are. Compiles them, and runs nothing.
    ///
    /// # Errors
    ///
    /// When they are no component, with what they are and what to do; or when they do not compile.
    pub fn inspect(&self, bytes: &[u8]) -> Result<Report, LoadError> {
        let component = self.component(bytes)?;
        let engine = self.engine();
        let ty = component.component_type();
        let item =
            |(name, ty): (&str, ComponentItem)| Item { name: name.to_owned(), functions: functions(ty, name, engine) };
        Ok(Report {
            bytes: bytes.len(),
            sha256: HEXLOWER.encode(&Sha256::digest(bytes)),
            exports: ty.exports(engine).map(|(name, export)| item((name, export.ty))).collect(),
            imports: ty.imports(engine).map(|(name, import)| item((name, import.ty))).collect(),
            worlds: HandlerKind::ALL
                .into_iter()
                .map(|handler| Fit {
                    world: handler.world(),
                    file: handler.file_name(),
                    misfits: misfits(&component, engine, handler).iter().map(ToString::to_string).collect(),
                })
                .collect(),
        })
    }

    /// Loads `bytes` as a server would, trial call and all, and says which version they are.
    ///
    /// # Errors
    ///
    /// Every reason why they are not such a handler, or the fault of the trial.
    pub fn check(
        self: &Arc<Self>,
        handler: HandlerKind,
        bytes: &[u8],
        settings: &SettingsMap,
    ) -> Result<VersionId, LoadError> {
        load(self, handler, bytes, &Arc::new(settings.clone()), None)?;
        Ok(VersionId::of(bytes, settings))
    }

    /// The component that `bytes` are, compiled.
    pub(super) fn component(&self, bytes: &[u8]) -> Result<Component, LoadError> {
        match kind(bytes) {
            FileKind::Component => {}
            other => return Err(LoadError::because(Stage::Kind, other.to_string())),
        }
        self.compile(bytes)
            .map_err(|error| LoadError::because(Stage::Compile, format!("it does not compile: {error:#}")))
    }
}

fn functions(item: ComponentItem, name: &str, engine: &Engine) -> Vec<String> {
    match item {
        ComponentItem::ComponentInstance(interface) => interface
            .exports(engine)
            .filter_map(|(name, item)| match item.ty {
                ComponentItem::ComponentFunc(ty) => Some(format!("{name}: {}", Signature::of(&ty))),
                _ => None,
            })
            .collect(),
        ComponentItem::ComponentFunc(ty) => vec![format!("{name}: {}", Signature::of(&ty))],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
