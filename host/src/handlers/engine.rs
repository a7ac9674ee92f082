//! The engine that compiles and runs handlers, its clock, and the code that it has compiled before. Knows nothing of
//! worlds, instances or calls.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

/// One tick of the engine's clock: how finely a call's running time is looked at. Each costs a wake-up of one thread.
const TICK: Duration = Duration::from_millis(5);

/// An engine whose clock runs for as long as this lives, with the place where compiled code is kept.
pub(super) struct Compiler {
    engine: Engine,
    cache: Option<PathBuf>,
    _clock: Arc<()>,
}

impl Compiler {
    /// Starts an engine. `cache` is made for this user alone; none means that every start compiles again.
    ///
    /// # Errors
    ///
    /// When the engine does not take its configuration, the cache cannot be made, or no thread can be had.
    pub(super) fn start(stack_bytes_max: usize, cache: Option<&Path>) -> wasmtime::Result<Self> {
        let mut config = Config::new();
        config.concurrency_support(false).epoch_interruption(true).max_wasm_stack(stack_bytes_max);
        let engine = Engine::new(&config)?;
        let clock = Arc::new(());
        start_clock(engine.clone(), Arc::downgrade(&clock))?;
        if let Some(directory) = cache {
            make_private(directory)?;
        }
        Ok(Self { engine, cache: cache.map(Path::to_owned), _clock: clock })
    }

    /// The engine itself.
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Compiles a component, or loads what an earlier run compiled from the same bytes. Takes about 100 ms, or less than
    /// one.
    pub(super) fn compile(&self, bytes: &[u8]) -> wasmtime::Result<Component> {
        if let Some(component) = self.compiled_before(bytes) {
            return Ok(component);
        }
        let component = Component::from_binary(&self.engine, bytes)?;
        let Some(cached) = self.cached(bytes) else { return Ok(component) };
        if let Err(error) = keep(&component, &cached) {
            tracing::warn!(%error, file = %cached.display(), "compiled code could not be kept, the next start compiles again");
        }
        Ok(component)
    }

    /// What an earlier run compiled from the same bytes, if it was kept.
    pub(super) fn compiled_before(&self, bytes: &[u8]) -> Option<Component> {
        load(&self.engine, &self.cached(bytes)?)
    }

    /// Where the code compiled from `bytes` is kept. The name changes with the component and with everything that
    /// decides which code an engine takes.
    fn cached(&self, bytes: &[u8]) -> Option<PathBuf> {
        use std::hash::{Hash as _, Hasher as _};

        let mut compatibility = std::hash::DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut compatibility);
        let component: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{component}-{:016x}.cwasm", compatibility.finish());
        Some(self.cache.as_ref()?.join(name))
    }
}

/// Moves the engine's clock until its compiler is gone.
fn start_clock(engine: Engine, compiler: Weak<()>) -> std::io::Result<()> {
    std::thread::Builder::new().name("handler-clock".to_owned()).spawn(move || {
        while compiler.strong_count() > 0 {
            std::thread::sleep(TICK);
            engine.increment_epoch();
        }
    })?;
    Ok(())
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
fn keep(component: &Component, place: &Path) -> wasmtime::Result<()> {
    let code = component.serialize()?;
    let fresh = place.with_extension(format!("{}.new", std::process::id()));
    let kept = std::fs::write(&fresh, seal(&code)).and_then(|()| std::fs::rename(&fresh, place));
    if kept.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    Ok(kept?)
}

/// Code with its hash before it, so that a file which the disk has damaged is told from a whole one.
fn seal(code: &[u8]) -> Vec<u8> {
    [Sha256::digest(code).as_slice(), code].concat()
}

/// Loads what [`keep`] has written. None on any doubt.
#[allow(unsafe_code, reason = "running code that was compiled before is the point of a cache")]
fn load(engine: &Engine, place: &Path) -> Option<Component> {
    let sealed = std::fs::read(place).ok()?;
    let (hash, code) = sealed.split_at_checked(32)?;
    if Sha256::digest(code).as_slice() != hash {
        return None;
    }
    // SAFETY: `deserialize` asks for bytes that `Component::serialize` wrote. The directory is this user's alone (0700,
    // checked at the start), only `keep` writes into it, whole files and under a name made of the component's hash, and
    // the hash before the code tells a damaged file. Nothing from outside, such as an upload or the watched directory,
    // ever reaches this function.
    unsafe { Component::deserialize(engine, code) }.ok()
}
