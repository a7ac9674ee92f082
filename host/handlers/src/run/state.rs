//! What one instance carries with it: its settings, its share of memory, what it has printed, and the call that it is
//! in. Knows nothing of which functions are called.

use std::sync::Arc;
use std::time::Duration;

use ondol_host_model::{Speaker, UserKey};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::asked_keys::AskedKeys;
use super::contract::{settings, users};
use super::deadline::{CallTimer, SlowCalls};
use super::fault::Overrun;
use super::kind::SettingsMap;
use super::limits::{CallLimits, HANDLES_MAX, TABLE_ELEMENTS_MAX};
use super::output::Output;
use crate::compose::layers::settings_import;

/// What one call may ask of random bytes at once. A host call cannot be interrupted, so each has to be short.
const RANDOM_BYTES_MAX: u64 = 65_536;

/// The host's side of one instance.
pub(crate) struct State {
    wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) settings: Arc<SettingsMap>,
    /// Remembers which of them were asked for.
    pub(crate) asked: Option<Arc<AskedKeys>>,
    pub(crate) memory: Memory,
    pub(crate) output: Output,
    pub(crate) timer: CallTimer,
    /// The users that the call may ask for.
    present: Vec<Arc<Speaker>>,
}

impl State {
    /// The state of a fresh instance.
    pub(crate) fn new(settings: Arc<SettingsMap>, limits: &CallLimits, slow_calls: SlowCalls) -> Self {
        let output = Output::new(limits.handler_log_bytes_max);
        let wasi =
            WasiCtx::builder().stdout(output.clone()).stderr(output.clone()).max_random_size(RANDOM_BYTES_MAX).build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        Self {
            wasi,
            table,
            settings,
            asked: None,
            memory: Memory { bytes: 0, bytes_max: limits.handler_memory_bytes_max },
            output,
            timer: CallTimer::new(Duration::from_millis(limits.handler_deadline_ms), slow_calls),
            present: Vec::new(),
        }
    }

    /// Lets the call ask who this is, until it ends.
    pub(crate) fn present(&mut self, speaker: &Arc<Speaker>) {
        self.present.push(Arc::clone(speaker));
    }

    /// The user with this key, among those that the call may ask for.
    pub(crate) fn user(&self, key: UserKey) -> Option<&Arc<Speaker>> {
        self.present.iter().find(|speaker| speaker.key() == key)
    }

    /// The call has ended.
    pub(crate) fn end_call(&mut self) {
        self.present.clear();
        self.timer.end();
    }
}

impl settings::Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        if let Some(asked) = &self.asked {
            asked.add(&key);
        }
        Ok(self.settings.get(&key).cloned())
    }
}

/// Gives a layer of a composed component its settings: those whose keys begin with its name and a dot.
pub(crate) fn add_layer_settings(linker: &mut Linker<State>, layer: &str) -> wasmtime::Result<()> {
    let prefix = format!("{layer}.");
    let mut settings = linker.instance(&settings_import(layer))?;
    settings.func_wrap("get", move |mut store: StoreContextMut<'_, State>, (key,): (String,)| {
        Ok((settings::Host::get(store.data_mut(), format!("{prefix}{key}"))?,))
    })
}

impl users::Host for State {
    fn get(&mut self, key: u64) -> wasmtime::Result<users::User> {
        match self.user(UserKey(key)) {
            Some(user) => Ok((&***user).into()),
            None => wasmtime::bail!("the handler asked for user {key}, who is not part of this call"),
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Checks the running call of an instance, at each tick of the engine's clock.
pub(crate) fn check_time(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    store.data_mut().timer.check()?;
    Ok(UpdateDeadline::Continue(1))
}

/// The linear memory of one instance, in bytes.
pub(crate) struct Memory {
    /// What it has now, which is the most that it had: it never shrinks.
    pub(crate) bytes: usize,
    bytes_max: usize,
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = self.bytes.saturating_add(desired.saturating_sub(current));
        if bytes > self.bytes_max {
            return Err(Overrun::Memory(self.bytes_max).into());
        }
        self.bytes = bytes;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS_MAX {
            return Err(Overrun::Table(TABLE_ELEMENTS_MAX).into());
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_counts_every_memory_of_an_instance() {
        let mut memory = Memory { bytes: 0, bytes_max: 100 };
        assert!(memory.memory_growing(0, 60, None).is_ok());
        assert!(memory.memory_growing(0, 50, None).is_err());
        assert!(memory.memory_growing(60, 100, None).is_ok());
        assert_eq!(memory.bytes, 100);
    }
}
