//! The contract of `wit/` as types: what each world imports and exports, and the interfaces of WASI that the host
//! provides beside it. Knows nothing of components.

use std::path::Path;
use std::sync::OnceLock;

use wit_parser::{Function, InterfaceId, Resolve, SourceMap, Type, TypeDefKind, TypeId, WorldItem};

use super::shape::{Shape, Signature};
use crate::compose::layers::layer_of_import;
use crate::run::kind::HandlerKind;

/// The files of `wit/`.
const FILES: [(&str, &str); 7] = [
    ("events.wit", include_str!("../../../../../wit/events.wit")),
    ("messages.wit", include_str!("../../../../../wit/messages.wit")),
    ("rooms.wit", include_str!("../../../../../wit/rooms.wit")),
    ("settings.wit", include_str!("../../../../../wit/settings.wit")),
    ("types.wit", include_str!("../../../../../wit/types.wit")),
    ("users.wit", include_str!("../../../../../wit/users.wit")),
    ("worlds.wit", include_str!("../../../../../wit/worlds.wit")),
];

/// The world of a component that runs in front of a handler.
pub(super) const MIDDLEWARE: &str = "message-middleware";

/// What a middleware imports and exports.
pub(super) const MESSAGES: &str = "ondol:chat/messages@0.2.0";

const SETTINGS: &str = "ondol:chat/settings@0.2.0";

/// The version of the WASI interfaces that the host provides.
const WASI_VERSION: &str = "0.2.12";

/// The WASI interfaces that the host provides: those of `run/wasi.rs`.
const WASI: [&str; 29] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// What `wit/` says.
pub(super) struct Contract {
    worlds: Vec<World>,
    interfaces: Vec<Interface>,
    /// The types that have a name.
    types: Vec<(String, Shape)>,
}

struct World {
    name: String,
    imports: Vec<String>,
    exports: Vec<String>,
}

/// An interface of the contract.
pub(super) struct Interface {
    /// Its name, with its version.
    pub(super) name: String,
    /// Its functions.
    pub(super) functions: Vec<(String, Signature)>,
}

impl Interface {
    /// The type of one of its functions.
    pub(super) fn function(&self, name: &str) -> Option<&Signature> {
        self.functions.iter().find(|(function, _)| function == name).map(|(_, signature)| signature)
    }
}

impl Contract {
    /// The contract of this host.
    ///
    /// # Errors
    ///
    /// When `wit/` cannot be read, as a sentence. The tests see to it that it can.
    pub(super) fn get() -> Result<&'static Self, &'static str> {
        static CONTRACT: OnceLock<Result<Contract, String>> = OnceLock::new();
        CONTRACT.get_or_init(|| Self::read().map_err(|error| format!("wit/: {error}"))).as_ref().map_err(String::as_str)
    }

    fn read() -> anyhow::Result<Self> {
        let mut files = SourceMap::default();
        for (name, content) in FILES {
            files.push(Path::new(name), content);
        }
        let mut resolve = Resolve::default();
        let group = files.parse().map_err(|(_, error)| error)?;
        resolve.push_group(group)?;
        let reader = Reader(&resolve);
        let worlds = resolve.worlds.iter().map(|(_, world)| World {
            name: world.name.clone(),
            imports: reader.names(world.imports.values()),
            exports: reader.names(world.exports.values()),
        });
        let interfaces = resolve.interfaces.iter().filter_map(|(id, interface)| {
            let functions = interface.functions.values().map(|function| reader.signature(function));
            Some(Interface { name: reader.name(id)?, functions: functions.collect() })
        });
        let named = resolve.types.iter().filter_map(|(id, ty)| {
            let has_parts = matches!(ty.kind, TypeDefKind::Record(_) | TypeDefKind::Variant(_) | TypeDefKind::Enum(_));
            Some((ty.name.clone().filter(|_| has_parts)?, reader.defined(id)))
        });
        Ok(Self { worlds: worlds.collect(), interfaces: interfaces.collect(), types: named.collect() })
    }

    /// The interfaces that a handler has to export.
    pub(super) fn exports(&self, handler: HandlerKind) -> impl Iterator<Item = &Interface> {
        self.exports_of(handler.world())
    }

    /// The interfaces that a middleware has to export.
    pub(super) fn middleware_exports(&self) -> impl Iterator<Item = &Interface> {
        self.exports_of(MIDDLEWARE)
    }

    fn exports_of(&self, world: &str) -> impl Iterator<Item = &Interface> {
        let world = self.worlds.iter().find(|known| known.name == world);
        world.into_iter().flat_map(|world| &world.exports).filter_map(|name| self.interface(name))
    }

    /// An interface by its name, in this version or a compatible one; or the settings of a layer.
    pub(super) fn interface(&self, name: &str) -> Option<&Interface> {
        let name = if layer_of_import(name).is_some() { SETTINGS } else { name };
        self.interfaces.iter().find(|interface| same_interface(name, &interface.name))
    }

    /// The contract's name of a type.
    pub(super) fn name_of(&self, shape: &Shape) -> Option<&str> {
        self.types.iter().find(|(_, named)| named == shape).map(|(name, _)| name.as_str())
    }

    /// Whether the host provides this interface, in this version or a compatible one.
    pub(super) fn is_provided(&self, name: &str) -> bool {
        layer_of_import(name).is_some() || self.provided().any(|provided| same_interface(name, &provided))
    }

    /// The same interface in the version that the host does provide.
    pub(super) fn other_version(&self, name: &str) -> Option<String> {
        self.provided().find(|provided| bare(provided) == bare(name))
    }

    fn provided(&self) -> impl Iterator<Item = String> {
        let handlers = self.worlds.iter().filter(|world| world.name != MIDDLEWARE);
        let imports = handlers.flat_map(|world| world.imports.iter().cloned());
        imports.chain(WASI.into_iter().map(|name| format!("{name}@{WASI_VERSION}")))
    }
}

fn bare(name: &str) -> &str {
    name.split_once('@').map_or(name, |(bare, _)| bare)
}

/// Whether two names mean the same interface in compatible versions: equal up to the first part of the version that is
/// not 0, as semantic versioning has it and as the linker matches them.
pub(super) fn same_interface(name: &str, other: &str) -> bool {
    name == other || track(name).is_some_and(|track_of_name| track(other) == Some(track_of_name))
}

/// An interface's name and the part of its version that must not differ. None: only the very same version will do.
fn track(name: &str) -> Option<(&str, u64, u64)> {
    let (bare, version) = name.split_once('@')?;
    let version = version.split_once('+').map_or(version, |(version, _)| version);
    let mut parts = version.split('.').map(|part| part.parse::<u64>().ok());
    match (parts.next()??, parts.next()??, parts.next()??, parts.next()) {
        (0, 0, _, None) => None,
        (0, minor, _, None) => Some((bare, 0, minor)),
        (major, _, _, None) => Some((bare, major, 0)),
        _ => None,
    }
}

/// Reads resolved WIT.
struct Reader<'a>(&'a Resolve);

impl Reader<'_> {
    fn names<'a>(&self, items: impl Iterator<Item = &'a WorldItem>) -> Vec<String> {
        let names = items.filter_map(|item| match item {
            WorldItem::Interface { id, .. } => self.name(*id),
            _ => None,
        });
        names.collect()
    }

    fn name(&self, interface: InterfaceId) -> Option<String> {
        self.0.id_of(interface)
    }

    fn signature(&self, function: &Function) -> (String, Signature) {
        let parameters = function.params.iter().map(|param| (param.name.clone(), self.shape(&param.ty)));
        let result = function.result.as_ref().map(|ty| self.shape(ty));
        (function.name.clone(), Signature { parameters: parameters.collect(), result })
    }

    fn shape(&self, ty: &Type) -> Shape {
        Shape::Plain(match ty {
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "s8",
            Type::S16 => "s16",
            Type::S32 => "s32",
            Type::S64 => "s64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "string",
            Type::ErrorContext => "error-context",
            Type::Id(id) => return self.defined(*id),
        })
    }

    fn defined(&self, id: TypeId) -> Shape {
        let Some(ty) = self.0.types.get(id) else { return Shape::Plain("a type") };
        let boxed = |ty: &Type| Box::new(self.shape(ty));
        match &ty.kind {
            TypeDefKind::Type(ty) => self.shape(ty),
            TypeDefKind::List(ty) => Shape::List(boxed(ty)),
            TypeDefKind::Option(ty) => Shape::Option(boxed(ty)),
            TypeDefKind::Result(result) => Shape::Result(result.ok.as_ref().map(boxed), result.err.as_ref().map(boxed)),
            TypeDefKind::Tuple(tuple) => Shape::Tuple(tuple.types.iter().map(|ty| self.shape(ty)).collect()),
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter().map(|field| (field.name.clone(), self.shape(&field.ty)));
                Shape::Record(fields.collect())
            }
            TypeDefKind::Variant(variant) => {
                let cases =
                    variant.cases.iter().map(|case| (case.name.clone(), case.ty.as_ref().map(|ty| self.shape(ty))));
                Shape::Variant(cases.collect())
            }
            TypeDefKind::Enum(names) => Shape::Enum(names.cases.iter().map(|case| case.name.clone()).collect()),
            TypeDefKind::Flags(names) => Shape::Flags(names.flags.iter().map(|flag| flag.name.clone()).collect()),
            // None of these is in the contract.
            other => Shape::Plain(other.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use super::*;

    #[test]
    fn every_world_is_read_with_its_functions() {
        let contract = Contract::get().unwrap();
        let functions = |handler| -> Vec<&str> {
            contract
                .exports(handler)
                .flat_map(|interface| &interface.functions)
                .map(|(name, _)| name.as_str())
                .collect()
        };
        assert_eq!(functions(HandlerKind::Rooms), ["create"]);
        assert_eq!(functions(HandlerKind::Messages), ["receive"]);
        assert_eq!(functions(HandlerKind::Events), ["message", "join", "leave", "refusal"]);
        assert!(contract.interface("ondol:chat/users@0.2.0").is_some());
    }

    #[test]
    fn every_file_of_the_contract_is_read() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, FILES.map(|(name, _)| name));
    }

    #[test]
    fn wasi_fits_in_any_patch_version_and_this_contract_in_its_own() {
        let is_provided = |name| Contract::get().unwrap().is_provided(name);
        assert!(is_provided("wasi:io/streams@0.2.0") && is_provided("wasi:random/random@0.2.99"));
        assert!(is_provided("wasi:sockets/tcp@0.2.0") && is_provided("wasi:http/types@0.2.10"));
        assert!(!is_provided("wasi:io/streams@0.3.0") && !is_provided("wasi:keyvalue/store@0.2.0"));
        assert!(is_provided("ondol:chat/settings@0.2.0") && !is_provided("ondol:chat/settings@0.1.0"));
        assert!(!is_provided("wasi:io/streams@0.2.0-rc-2023-11-10") && !is_provided("wasi:io/streams"));
    }

    #[test]
    fn the_provided_version_of_an_interface_is_named() {
        let other = |name| Contract::get().unwrap().other_version(name);
        assert_eq!(other("ondol:chat/settings@0.1.0").as_deref(), Some("ondol:chat/settings@0.2.0"));
        assert_eq!(other("example:missing/one@1.0.0"), None);
    }
}
