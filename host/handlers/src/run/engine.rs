//! The engine that runs handlers, and how a component's code comes to it: from the cache, or from a compiler. Knows
//! nothing of worlds, instances or calls.

use std::any::Any;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::Component;
use wasmtime::{Config, Engine, WasmBacktraceDetails};

use super::code_cache::CodeCache;
use super::deadline::Clock;

/// Compiles a component for an engine with the same configuration. An error is a sentence for the operator.
pub(crate) type Compile = dyn Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync;

/// Is called with the size of a component before it is compiled. What it returns is dropped when that has ended.
pub(crate) type Announce = dyn Fn(usize) -> Box<dyn Any> + Send + Sync;

/// An engine whose clock runs for as long as this lives.
pub(crate) struct CodeLoader {
    engine: Engine,
    cache: Option<CodeCache>,
    /// None: this process compiles.
    compile: Option<Box<Compile>>,
    announce: Option<Box<Announce>>,
    _clock: Clock,
}

impl CodeLoader {
    /// Starts an engine. Without a cache every start compiles again.
    ///
    /// # Errors
    ///
    /// When the engine rejects its configuration, or no thread is available.
    pub(crate) fn start(stack_bytes_max: usize, cache: Option<CodeCache>) -> wasmtime::Result<Self> {
        let engine = Engine::new(&config(stack_bytes_max))?;
        let clock = Clock::start({
            let engine = engine.clone();
            move || engine.increment_epoch()
        })?;
        Ok(Self { engine, cache, compile: None, announce: None, _clock: clock })
    }

    /// The same, with another compiler.
    pub(crate) fn with_compiler(self, compile: Box<Compile>) -> Self {
        Self { compile: Some(compile), ..self }
    }

    /// The same, calling `announce` before it compiles.
    pub(crate) fn with_announcement(self, announce: Box<Announce>) -> Self {
        Self { announce: Some(announce), ..self }
    }

    /// The engine itself.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Compiles a component, or loads what was compiled of the same bytes before. Takes 100 ms for a handler
    /// in Rust and 10 s for one in Python, or next to nothing.
    pub(crate) fn load(&self, bytes: &[u8]) -> wasmtime::Result<Component> {
        if let Some(component) = self.cached(bytes) {
            return Ok(component);
        }
        let code = self.code_of(bytes)?;
        if let Some(cache) = &self.cache {
            cache.keep(&self.engine, bytes, &code);
        }
        component(&self.engine, &code)
    }

    /// What was compiled of these bytes before, if it was kept.
    pub(crate) fn cached(&self, bytes: &[u8]) -> Option<Component> {
        let code = self.cache.as_ref()?.get(&self.engine, bytes)?;
        component(&self.engine, &code).ok()
    }

    fn code_of(&self, bytes: &[u8]) -> wasmtime::Result<Vec<u8>> {
        let _shown = self.announce.as_ref().map(|announce| announce(bytes.len()));
        match &self.compile {
            Some(compile) => compile(bytes).map_err(|error| wasmtime::format_err!("{error}")),
            None => self.engine.precompile_component(bytes),
        }
    }

    /// Keeps what was compiled of these bytes in the cache for as long as the returned value lives.
    pub(crate) fn in_use(&self, bytes: &[u8]) -> Option<Arc<PathBuf>> {
        Some(self.cache.as_ref()?.in_use(&self.engine, bytes))
    }
}

/// How deep a backtrace goes: past the libraries, to the functions of the author.
const BACKTRACE_FRAMES_MAX: Option<NonZeroUsize> = NonZeroUsize::new(48);

/// The configuration, which decides what code an engine makes and takes.
pub(crate) fn config(stack_bytes_max: usize) -> Config {
    let mut config = Config::new();
    config.concurrency_support(false).epoch_interruption(true).max_wasm_stack(stack_bytes_max);
    // A component that has debug information is told where it failed by file and line.
    config.wasm_backtrace_details(WasmBacktraceDetails::Enable).wasm_backtrace_max_frames(BACKTRACE_FRAMES_MAX);
    config
}

/// Makes a component of compiled code: of what the compiler has just made, or of what [`CodeCache::get`] has found
/// whole.
#[allow(unsafe_code, reason = "running code that was compiled before is the point of a cache")]
fn component(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` asks for bytes that an engine's compiler wrote. Either this process or its child, which is
    // the same program, has just made them, or they come from a file of the cache: that directory is this user's alone
    // (0700, checked at the start), only `CodeCache::keep` writes into it, whole files and under a name made of the
    // component's hash, and the hash before the code tells a damaged or exchanged file. Nothing from outside, such as
    // an upload or the watched directory, ever reaches this function.
    let loaded = unsafe { Component::deserialize(engine, code) };
    loaded.map_err(|error| {
        if format!("{error:#}").contains("memory executable") {
            return error.context(
                "the system denies this process executable memory: MemoryDenyWriteExecute of a systemd unit has to be off",
            );
        }
        error
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::super::code_cache::KEPT_MAX;
    use super::*;

    /// A component with nothing in it but a custom section that tells it from others.
    fn component(number: u8) -> Vec<u8> {
        [b"\0asm\x0d\0\x01\0\0\x02\x01".as_slice(), &[number]].concat()
    }

    fn loader(directory: &Path) -> CodeLoader {
        let cache = CodeCache::open(&directory.join("cache")).unwrap();
        CodeLoader::start(524_288, Some(cache)).unwrap()
    }

    fn place(loader: &CodeLoader, number: u8) -> PathBuf {
        loader.cache.as_ref().unwrap().place(&loader.engine, &component(number))
    }

    #[test]
    fn compiled_code_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let first = loader(directory.path());
        assert!(first.cached(&component(1)).is_none());
        first.load(&component(1)).unwrap();
        assert!(loader(directory.path()).cached(&component(1)).is_some());
        assert!(first.cached(&component(2)).is_none());
    }

    #[test]
    fn code_of_another_component_is_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let loader = loader(directory.path());
        for number in [1, 2] {
            loader.load(&component(number)).unwrap();
        }
        std::fs::rename(place(&loader, 2), place(&loader, 1)).unwrap();
        assert!(loader.cached(&component(1)).is_none());
    }

    #[test]
    fn a_compiler_that_fails_says_why() {
        let loader = CodeLoader::start(524_288, None).unwrap();
        let loader = loader.with_compiler(Box::new(|bytes| Err(format!("no code for {} bytes", bytes.len()))));
        assert_eq!(loader.load(&component(1)).unwrap_err().to_string(), "no code for 12 bytes");
    }

    #[test]
    fn the_least_recently_used_is_removed_unless_it_is_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let loader = loader(directory.path());
        for number in 0..=6 {
            loader.load(&component(number)).unwrap();
            let file = std::fs::File::open(place(&loader, number)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(1_000 - u64::from(number))).unwrap();
        }
        let in_use = loader.in_use(&component(1)).unwrap();
        assert!(loader.cached(&component(0)).is_some(), "which counts as a use");
        let cache = loader.cache.as_ref().unwrap();
        cache.tidy(3, u64::MAX).unwrap();
        let left: Vec<u8> = (0..=6).filter(|number| place(&loader, *number).exists()).collect();
        assert_eq!(left, [0, 1, 5, 6]);

        drop(in_use);
        cache.tidy(3, u64::MAX).unwrap();
        assert!(!place(&loader, 1).exists());

        cache.tidy(3, std::fs::metadata(place(&loader, 6)).unwrap().len()).unwrap();
        assert_eq!(
            (0..=6).filter(|number| place(&loader, *number).exists()).collect::<Vec<_>>(),
            [0],
            "the last one used"
        );
    }

    #[test]
    fn the_cache_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let loader = loader(directory.path());
        for number in 0..=u8::try_from(KEPT_MAX).unwrap() {
            loader.load(&component(number)).unwrap();
        }
        assert_eq!(std::fs::read_dir(directory.path().join("cache")).unwrap().count(), KEPT_MAX);
    }
}
