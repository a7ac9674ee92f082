//! How hosts reach the engines: directly, over wires that a test cuts, over a bus that loses packets, or out of network
//! namespaces.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use super::{Hosts, network::Network};
use crate::{
    lossy_bus::LossyBus,
    setup::Setup,
    wire::{Open, Wire},
};

/// The ways of all hosts.
#[derive(Debug)]
pub(super) enum Routes {
    Direct,
    Wires(Vec<Wires>),
    Lossy(LossyBus),
    Network(Network),
}

/// The ways of one host.
#[derive(Debug)]
pub(super) struct Wires {
    store: Wire,
    bus: Option<Wire>,
    cuts: BTreeSet<Cut>,
}

/// What does not get through between a host and others. Connections stay open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// Nothing does; in a network of its own not even to clients.
    All,
    /// Nothing between the host and PostgreSQL.
    Store,
    /// Nothing between the host and NATS.
    Bus,
    /// Nothing that is said to the host.
    Incoming,
    /// Nothing that the host says.
    Outgoing,
    /// 5 % of the frames, which takes a network of its own.
    SomeFrames,
}

impl Hosts {
    /// Cuts a host off from what it needs, or ends that.
    ///
    /// # Errors
    /// When they are neither on wires nor in a network.
    pub fn cut(&mut self, host: usize, cut: Cut, is_cut: bool) -> Result<()> {
        let (store, bus) = (self.database.url(), self.bus_url.clone().unwrap_or_default());
        match &mut self.routes {
            Routes::Wires(wires) => {
                wires.get_mut(host).context("no such host")?.cut(cut, is_cut);
                Ok(())
            }
            Routes::Network(network) => network.cut(host, cut, is_cut, [address_in(&store)?, &bus]),
            Routes::Direct | Routes::Lossy(_) => bail!("these hosts have no wires"),
        }
    }

    /// The wire of a host to PostgreSQL.
    ///
    /// # Errors
    /// When it has none.
    pub fn store_wire(&self, host: usize) -> Result<&Wire> {
        match &self.routes {
            Routes::Wires(wires) => Ok(&wires.get(host).context("no such host")?.store),
            _ => bail!("these hosts have no wires"),
        }
    }

    /// The bus that loses what hosts say.
    ///
    /// # Errors
    /// When it loses nothing.
    pub fn lossy_bus(&self) -> Result<&LossyBus> {
        match &self.routes {
            Routes::Lossy(lossy) => Ok(lossy),
            _ => bail!("the bus of these hosts loses nothing"),
        }
    }

    /// Sets the clock of a host so many seconds off.
    ///
    /// # Errors
    /// When it has no clock of its own.
    pub fn set_clock(&self, host: usize, seconds: i32) -> Result<()> {
        match &self.routes {
            Routes::Network(network) => network.set_clock(host, seconds),
            _ => bail!("these hosts have one clock"),
        }
    }
}

impl Routes {
    /// Lays the wires of one more host.
    pub(super) async fn extend(&mut self, store: &str, bus: Option<&str>) -> Result<()> {
        let Self::Wires(wires) = self else { return Ok(()) };
        let bus = match bus {
            Some(bus) => Some(Wire::to(bus.rsplit_once('/').context("no address")?.1).await?),
            None => None,
        };
        wires.push(Wires { store: Wire::to(address_in(store)?).await?, bus, cuts: BTreeSet::new() });
        Ok(())
    }

    /// The setup of a host with this number.
    pub(super) fn furnish(&self, host: usize, setup: Setup, store: &str, bus: Option<&str>) -> Setup {
        let bus = |setup: Setup, url: &dyn Fn(&str) -> String| match bus {
            Some(bus) => setup.env("ONDOL_BUS", url(bus)),
            None => setup,
        };
        match self {
            Self::Direct => setup,
            Self::Wires(wires) => match wires.get(host) {
                Some(Wires { store: wire, bus: Some(to_bus), .. }) => {
                    bus(setup.env("ONDOL_STORE", wire.url(store)), &|url| to_bus.url(url))
                }
                Some(Wires { store: wire, .. }) => setup.env("ONDOL_STORE", wire.url(store)),
                None => setup,
            },
            Self::Lossy(lossy) => bus(setup, &|url| lossy.url(url)),
            Self::Network(network) => bus(network.furnish(host, setup, store), &|url| network.url(url)),
        }
    }
}

impl Wires {
    fn cut(&mut self, cut: Cut, is_cut: bool) {
        if is_cut {
            self.cuts.insert(cut)
        } else {
            self.cuts.remove(&cut)
        };
        let is_open = |cuts: &[Cut]| !cuts.iter().any(|cut| self.cuts.contains(cut));
        let of = |engine| Open {
            up: is_open(&[Cut::All, engine, Cut::Outgoing]),
            down: is_open(&[Cut::All, engine, Cut::Incoming]),
        };
        self.store.set(of(Cut::Store));
        if let Some(bus) = &self.bus {
            bus.set(of(Cut::Bus));
        }
    }
}

/// Host and port in the URL of a database.
fn address_in(store: &str) -> Result<&str> {
    let (_, after) = store.split_once('@').context("no user")?;
    Ok(after.split_once('/').context("no database")?.0)
}
