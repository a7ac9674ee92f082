//! Makes one handler of a `messages` handler and the middleware in front of it. Each layer keeps its own settings: those
//! of a middleware have its name as a prefix, and those of the handler at the back keep their names. Compiles and runs
//! nothing.

pub(crate) mod layers;

use wac_graph::types::{Interface, ItemKind, Package, SubtypeChecker};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};

use crate::admit::file_kind::{FileKind, kind};
pub use layers::Layer;

/// What each layer exports, and each but the last imports.
const MESSAGES: &str = "ondol:chat/messages@0.2.0";
const SETTINGS: &str = "ondol:chat/settings@0.2.0";

/// Composes the layers, the front one first. Each has the name of its file, in kebab case.
///
/// # Errors
///
/// When a layer is not what its place demands, with its name and what to do.
pub fn compose(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>, ComposeError> {
    let [fronts @ .., (back_name, back)] = files else { return Err(ComposeError::TooFew) };
    if fronts.is_empty() {
        return Err(ComposeError::TooFew);
    }
    let mut layers: Vec<Layer> = fronts.iter().map(|(name, bytes)| Layer::new(name, bytes)).collect();
    layers.extend(layers::read(back).unwrap_or_else(|| vec![Layer::new(back_name, back)]));
    for (index, layer) in layers.iter().enumerate() {
        check_name(&layer.name)?;
        if layers.iter().take(index).any(|other| other.name == layer.name) {
            return Err(ComposeError::NameTwice(layer.name.clone()));
        }
    }
    let mut composition = Composition { graph: CompositionGraph::new() };
    let mut messages = composition.back(back_name, back)?;
    for (name, bytes) in fronts.iter().rev() {
        messages = composition.front(name, bytes, messages)?;
    }
    let mut bytes = composition.encode(messages)?;
    layers::append(&mut bytes, &layers);
    Ok(bytes)
}

/// Why layers cannot be composed.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// One or none.
    #[error("give at least two components: the middleware, and the messages handler behind it")]
    TooFew,
    /// A name that the component model does not take.
    #[error(
        "the layer `{0}` has the name of its file, which has to be lower-case words joined by `-`, each beginning with a \
         letter: rename the file"
    )]
    Name(String),
    /// Two layers would share their settings.
    #[error("two layers have the name `{0}`: rename one of the files, so that each has its own settings")]
    NameTwice(String),
    /// No component.
    #[error("{0}: {1}")]
    Kind(String, FileKind),
    /// A component that cannot be read.
    #[error("{0}: it is broken: {1:#}")]
    Broken(String, anyhow::Error),
    /// It does not export the interface.
    #[error("{0}: it does not export {MESSAGES}; each layer has to")]
    NoExport(String),
    /// It passes nothing on.
    #[error(
        "{0}: it does not import {MESSAGES}, so nothing can stand behind it: only the last layer may be such a handler"
    )]
    NoImport(String),
    /// A middleware at the back.
    #[error("{0}: it imports {MESSAGES}, so it is a middleware: give the handler behind it as the last layer")]
    NothingBehind(String),
    /// Layers that were composed before.
    #[error("{0}: it is composed of layers already: give its files instead, or give it as the last layer")]
    Composed(String),
    /// Another version of the interface.
    #[error("{0}: the layer behind it exports {MESSAGES} with other types: {1:#}")]
    Types(String, anyhow::Error),
    /// The library refused.
    #[error("the layers do not fit together: {0:#}")]
    Graph(anyhow::Error),
}

/// The graph of the layers so far.
struct Composition {
    graph: CompositionGraph,
}

impl Composition {
    /// Adds the last layer. The result is its `messages`.
    fn back(&mut self, name: &str, bytes: &[u8]) -> Result<NodeId, ComposeError> {
        let package = self.register(name, bytes)?;
        if self.imports(package, MESSAGES) {
            return Err(ComposeError::NothingBehind(name.to_owned()));
        }
        let instance = self.graph.instantiate(package);
        self.messages_of(instance)
    }

    /// Adds a middleware in front of `behind`. The result is its `messages`.
    fn front(&mut self, name: &str, bytes: &[u8], behind: NodeId) -> Result<NodeId, ComposeError> {
        if layers::read(bytes).is_some() {
            return Err(ComposeError::Composed(name.to_owned()));
        }
        let package = self.register(name, bytes)?;
        let world = self.graph.types()[self.graph[package].ty()].clone();
        let Some(wanted) = world.imports.get(MESSAGES) else { return Err(ComposeError::NoImport(name.to_owned())) };
        let given = self.graph[behind].item_kind();
        let mut cache = Default::default();
        SubtypeChecker::new(&mut cache)
            .is_subtype(given, self.graph.types(), *wanted, self.graph.types())
            .map_err(|error| ComposeError::Types(name.to_owned(), error))?;
        let instance = self.graph.instantiate(package);
        self.graph.set_instantiation_argument(instance, MESSAGES, behind).map_err(failed)?;
        if let Some(ItemKind::Instance(settings)) = world.imports.get(SETTINGS) {
            // Without its id: the import has a name of its own.
            let settings = Interface { id: None, ..self.graph.types()[*settings].clone() };
            let settings = ItemKind::Instance(self.graph.types_mut().add_interface(settings));
            let own = self.graph.import(layers::settings_import(name), settings).map_err(failed)?;
            self.graph.set_instantiation_argument(instance, SETTINGS, own).map_err(failed)?;
        }
        self.messages_of(instance)
    }

    fn register(&mut self, name: &str, bytes: &[u8]) -> Result<PackageId, ComposeError> {
        match kind(bytes) {
            FileKind::Component => {}
            other => return Err(ComposeError::Kind(name.to_owned(), other)),
        }
        let package = Package::from_bytes(name, None, bytes.to_vec(), self.graph.types_mut())
            .map_err(|error| ComposeError::Broken(name.to_owned(), error))?;
        let package = self.graph.register_package(package).map_err(failed)?;
        let exports = &self.graph.types()[self.graph[package].ty()].exports;
        if !exports.contains_key(MESSAGES) {
            return Err(ComposeError::NoExport(name.to_owned()));
        }
        Ok(package)
    }

    fn imports(&self, package: PackageId, interface: &str) -> bool {
        self.graph.types()[self.graph[package].ty()].imports.contains_key(interface)
    }

    fn messages_of(&mut self, instance: NodeId) -> Result<NodeId, ComposeError> {
        self.graph.alias_instance_export(instance, MESSAGES).map_err(failed)
    }

    fn encode(&mut self, messages: NodeId) -> Result<Vec<u8>, ComposeError> {
        self.graph.export(messages, MESSAGES).map_err(failed)?;
        self.graph.encode(EncodeOptions::default()).map_err(failed)
    }
}

fn failed(error: impl Into<anyhow::Error>) -> ComposeError {
    ComposeError::Graph(error.into())
}

/// Words of the component model's labels: `word-filter`, `filter2`.
fn check_name(name: &str) -> Result<(), ComposeError> {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit())
    };
    if name.split('-').all(is_word) { Ok(()) } else { Err(ComposeError::Name(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_an_import_may_have() {
        for (name, fine) in
            [("word-filter", true), ("filter2", true), ("2filter", false), ("a--b", false), ("A", false)]
        {
            assert_eq!(check_name(name).is_ok(), fine, "{name}");
        }
    }

    #[test]
    fn one_layer_is_too_few() {
        assert!(matches!(compose(&[("a".to_owned(), Vec::new())]), Err(ComposeError::TooFew)));
        assert!(matches!(compose(&[]), Err(ComposeError::TooFew)));
    }
}
