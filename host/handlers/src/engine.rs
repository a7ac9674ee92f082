//! The engine that compiles and runs handlers, and the code that it has compiled before. Knows nothing of worlds, instances
//! or calls.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use super::aside::Aside;
use super::clock::Clock;

/// Compiled components that are kept beside those in use: as many versions of three handlers as the store keeps unless it
/// is told otherwise. One takes about 300 KiB.
const KEPT_MAX: usize = 60;

/// An engine whose clock runs for as long as this lives, with the place where compiled code is kept.
pub(super) struct Compiler {
    engine: Engine,
    cache: Option<PathBuf>,
    /// The files of components that are in use.
    held: Mutex<Vec<Weak<PathBuf>>>,
    /// The process that compiles. None: it is done here.
    aside: Option<Aside>,
    /// Runs for as long as this lives.
    _clock: Clock,
}

impl Compiler {
    /// Starts an engine. `cache` is made for this user alone; none means that every start compiles again.
    ///
    /// # Errors
    ///
    /// When the engine does not take its configuration, the cache cannot be made, or no thread can be had.
    pub(super) fn start(stack_bytes_max: usize, cache: Option<&Path>) -> wasmtime::Result<Self> {
        let engine = Engine::new(&config(stack_bytes_max))?;
        let clock = Clock::start({
            let engine = engine.clone();
            move || engine.increment_epoch()
        })?;
        if let Some(directory) = cache {
            make_private(directory)?;
        }
        let (cache, held) = (cache.map(Path::to_owned), Mutex::default());
        Ok(Self { engine, cache, held, aside: None, _clock: clock })
    }

    /// The same, with a process to compile in.
    pub(super) fn aside(self, aside: Aside) -> Self {
        Self { aside: Some(aside), ..self }
    }

    /// From now on compiling is to hold up nobody.
    pub(super) fn give_way(&self) {
        if let Some(aside) = &self.aside {
            aside.give_way();
        }
    }

    /// The engine itself.
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Compiles a component, or loads what an earlier run compiled from the same bytes. Takes some 100 ms, or less
    /// than one.
    pub(super) fn compile(&self, bytes: &[u8]) -> wasmtime::Result<Component> {
        if let Some(component) = self.compiled_before(bytes) {
            return Ok(component);
        }
        let code = self.code_of(bytes)?;
        if let (Some(cache), Some(cached)) = (&self.cache, self.cached(bytes)) {
            if let Err(error) = keep(&code, bytes, &cached) {
                tracing::warn!(%error, file = %cached.display(), "compiled code could not be kept, the next start compiles again");
            }
            if let Err(error) = tidy(cache, KEPT_MAX, &self.held()) {
                tracing::warn!(%error, "compiled code that nobody needs could not be removed");
            }
        }
        component(&self.engine, &code)
    }

    fn code_of(&self, bytes: &[u8]) -> wasmtime::Result<Vec<u8>> {
        match &self.aside {
            Some(aside) => aside.compile(bytes).map_err(|failed| wasmtime::format_err!("{failed}")),
            None => self.engine.precompile_component(bytes),
        }
    }

    /// Keeps what was compiled from these bytes for as long as the answer lives.
    pub(super) fn in_use(&self, bytes: &[u8]) -> Option<Arc<PathBuf>> {
        let place = Arc::new(self.cached(bytes)?);
        let mut held = self.lock_held();
        held.retain(|place| place.strong_count() > 0);
        held.push(Arc::downgrade(&place));
        Some(place)
    }

    fn held(&self) -> Vec<Arc<PathBuf>> {
        self.lock_held().iter().filter_map(Weak::upgrade).collect()
    }

    fn lock_held(&self) -> MutexGuard<'_, Vec<Weak<PathBuf>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an earlier run compiled from the same bytes, if it was kept.
    pub(super) fn compiled_before(&self, bytes: &[u8]) -> Option<Component> {
        let place = self.cached(bytes)?;
        let component = load(&self.engine, bytes, &place)?;
        // Its time tells when it was last of use. Without that it is only removed the sooner.
        let _ = std::fs::File::open(&place).and_then(|file| file.set_modified(SystemTime::now()));
        Some(component)
    }

    /// Where the code compiled from `bytes` is kept. The name changes with the component and with everything that
    /// decides which code an engine takes.
    fn cached(&self, bytes: &[u8]) -> Option<PathBuf> {
        use std::hash::{Hash as _, Hasher as _};

        let mut compatibility = std::hash::DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut compatibility);
        let component = HEXLOWER.encode(&Sha256::digest(bytes));
        let name = format!("{component}-{:016x}.cwasm", compatibility.finish());
        Some(self.cache.as_ref()?.join(name))
    }
}

/// What decides which code an engine makes and takes.
pub(super) fn config(stack_bytes_max: usize) -> Config {
    let mut config = Config::new();
    config.concurrency_support(false).epoch_interruption(true).max_wasm_stack(stack_bytes_max);
    config
}

/// Makes a directory that no other user can write to, or makes sure that the one which is there is such.
fn make_private(directory: &Path) -> wasmtime::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};

    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let found = std::fs::metadata(directory)?;
    let own = std::fs::metadata("/proc/self")?.uid();
    let place = directory.display();
    wasmtime::ensure!(found.uid() == own, "the cache {place} belongs to another user, and what is in it would be run");
    wasmtime::ensure!(
        found.mode() & 0o077 == 0,
        "the cache {place} is open to other users, and what is in it would be run: chmod 700 {place}, once it is empty"
    );
    Ok(())
}

/// Writes compiled code beside its place and moves it there whole.
fn keep(code: &[u8], bytes: &[u8], place: &Path) -> std::io::Result<()> {
    let fresh = place.with_extension(format!("{}.new", std::process::id()));
    let kept =
        std::fs::write(&fresh, [&seal(code, bytes)[..], code].concat()).and_then(|()| std::fs::rename(&fresh, place));
    if kept.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    kept
}

/// What stands before the code: a hash of it and of the component that it was compiled from. So a file which the disk has damaged
/// is told from a whole one, and one that was moved into the place of another from one that stands in its own.
fn seal(code: &[u8], bytes: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(Sha256::digest(bytes)).chain_update(code).finalize().into()
}

/// Loads what [`keep`] has written of this component. None on any doubt.
fn load(engine: &Engine, bytes: &[u8], place: &Path) -> Option<Component> {
    let sealed = std::fs::read(place).ok()?;
    let (hash, code) = sealed.split_at_checked(32)?;
    if seal(code, bytes) != hash {
        return None;
    }
    component(engine, code).ok()
}

/// Makes a component of compiled code: of what this engine has just made, or of what [`load`] has found whole.
#[allow(unsafe_code, reason = "running code that was compiled before is the point of a cache")]
fn component(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` asks for bytes that an engine's compiler wrote. Either this process or its child, which is the
    // same program, has just made them, or they come from a file of the cache: that directory is this user's alone (0700, checked at the start), only `keep` writes
    // into it, whole files and under a name made of the component's hash, and the hash before the code tells a damaged
    // or exchanged file. Nothing from outside, such as an upload or the watched directory, ever reaches this function.
    unsafe { Component::deserialize(engine, code) }
}

/// Removes the files that were used longest ago, until so many are left. Those in use are not counted.
fn tidy(directory: &Path, kept_max: usize, in_use: &[Arc<PathBuf>]) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        // Another server may tidy up the same directory.
        let Ok(used) = std::fs::metadata(&path).and_then(|file| file.modified()) else { continue };
        if !in_use.iter().any(|held| **held == path) {
            files.push((used, path));
        }
    }
    files.sort();
    let over = files.len().saturating_sub(kept_max);
    for (_, path) in files.iter().take(over) {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use super::*;

    /// A component with nothing in it but a custom section that tells it from others.
    fn component(number: u8) -> Vec<u8> {
        [b"\0asm\x0d\0\x01\0\0\x02\x01".as_slice(), &[number]].concat()
    }

    fn compiler(directory: &tempfile::TempDir) -> Compiler {
        Compiler::start(524_288, Some(&directory.path().join("cache"))).unwrap()
    }

    fn age(compiler: &Compiler, number: u8, seconds: u64) {
        let file = std::fs::File::open(compiler.cached(&component(number)).unwrap()).unwrap();
        file.set_modified(SystemTime::now() - std::time::Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn compiled_code_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let first = compiler(&directory);
        assert!(first.compiled_before(&component(1)).is_none());
        first.compile(&component(1)).unwrap();
        assert!(compiler(&directory).compiled_before(&component(1)).is_some());
        assert!(first.compiled_before(&component(2)).is_none());
    }

    #[test]
    fn code_that_was_compiled_from_another_component_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let compiler = compiler(&directory);
        for number in [1, 2] {
            compiler.compile(&component(number)).unwrap();
        }
        let place = |number| compiler.cached(&component(number)).unwrap();
        std::fs::rename(place(2), place(1)).unwrap();
        assert!(compiler.compiled_before(&component(1)).is_none());
    }

    #[test]
    fn where_no_process_can_be_had_nothing_is_compiled() {
        let directory = tempfile::tempdir().unwrap();
        let aside = Aside::new(directory.path().join("nobody"), &crate::limits::HandlersLimits::for_tests());
        let compiler = Compiler::start(524_288, None).unwrap().aside(aside);
        let error = compiler.compile(&component(1)).unwrap_err().to_string();
        assert!(error.contains("no process to compile it in"), "{error}");
    }

    #[test]
    fn what_was_used_longest_ago_is_removed_unless_it_is_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let compiler = compiler(&directory);
        for number in 0..=6 {
            compiler.compile(&component(number)).unwrap();
            age(&compiler, number, 1_000 - u64::from(number));
        }
        let held = compiler.in_use(&component(1)).unwrap();
        assert!(compiler.compiled_before(&component(0)).is_some(), "which counts as a use");
        let cache = directory.path().join("cache");
        tidy(&cache, 3, &compiler.held()).unwrap();
        let left: Vec<u8> = (0..=6).filter(|number| compiler.cached(&component(*number)).unwrap().exists()).collect();
        assert_eq!(left, [0, 1, 5, 6]);

        drop(held);
        tidy(&cache, 3, &compiler.held()).unwrap();
        assert!(!compiler.cached(&component(1)).unwrap().exists());
    }

    #[test]
    fn the_cache_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let compiler = compiler(&directory);
        for number in 0..=u8::try_from(KEPT_MAX).unwrap() {
            compiler.compile(&component(number)).unwrap();
        }
        assert_eq!(std::fs::read_dir(directory.path().join("cache")).unwrap().count(), KEPT_MAX);
    }
}
