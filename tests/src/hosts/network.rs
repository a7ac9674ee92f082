//! A network of the tests' own: each host is in a network namespace, with a cable to a bridge of this machine, where the
//! engines and clients are. What passes the end of a cable is decided by nftables in the namespace. Knows addresses and ports.
//!
//! Its clocks are its own as well: libfaketime reads how far each is off, and leaves the monotonic clock as it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::routes::Cut;
use crate::setup::Setup;

/// The library that changes what a process takes for the time.
const FAKETIME: &str = "/usr/lib/*/faketime/libfaketimeMT.so.1";

/// How many networks there may be at a time.
const COUNT: u8 = 250;

/// Who may use the bus.
pub(super) const BUS_USER: &str = "hosts";
/// Its password.
pub(super) const BUS_PASSWORD: &str = "of-the-tests";

/// The port on which each host listens, at its own address.
const PORT: u16 = 8000;

/// The network.
#[derive(Debug)]
pub(super) struct Network {
    number: u8,
    hosts: usize,
    faketime: PathBuf,
    /// The credentials of the bus, and how far each clock is off.
    directory: TempDir,
    cuts: BTreeMap<usize, BTreeSet<Cut>>,
}

impl Network {
    /// A network for so many hosts. `None` where one cannot be made, which is named.
    ///
    /// # Errors
    /// When it cannot be made under CI, or the system refuses.
    pub(super) fn new(hosts: usize) -> Result<Option<Self>> {
        let faketime = run("sh", &["-c", &format!("ls {FAKETIME}")], "").ok().map(|path| path.trim().into());
        let missing = match &faketime {
            _ if run("id", &["-u"], "")?.trim() != "0" => Some("root"),
            _ if run("nft", &["--version"], "").is_err() => Some("nft"),
            _ if run("ip", &["netns", "list"], "").is_err() => Some("ip"),
            None => Some("libfaketime"),
            Some(_) => None,
        };
        if let Some(missing) = missing {
            ensure!(env::var_os("CI").is_none(), "network namespaces take {missing}, and CI is set");
            let thread = std::thread::current();
            eprintln!("skipped: {}: network namespaces take {missing}", thread.name().unwrap_or("a test"));
            return Ok(None);
        }
        let (number, directory) = (take_number()?, TempDir::with_prefix("ondol-network-")?);
        let (faketime, cuts) = (faketime.unwrap_or_default(), BTreeMap::new());
        let network = Self { number, hosts, faketime, directory, cuts };
        fs::write(network.credentials(), format!("{BUS_USER}:{BUS_PASSWORD}\n"))?;
        let bridge = bridge(number);
        ip(&format!("addr add {}/24 dev {bridge}", network.hub()))?;
        ip(&format!("link set {bridge} up"))?;
        for host in 0..hosts {
            network.set_clock(host, 0)?;
            let (namespace, cable) = (namespace(number, host), cable(number, host));
            ip(&format!("netns add {namespace}"))?;
            ip(&format!("link add {cable} type veth peer name eth0 netns {namespace}"))?;
            ip(&format!("link set {cable} master {bridge} up"))?;
            ip(&format!("-n {namespace} addr add {}/24 dev eth0", network.address(host)))?;
            ip(&format!("-n {namespace} link set eth0 up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
        }
        Ok(Some(network))
    }

    /// The address of this machine in it.
    pub(super) fn hub(&self) -> String {
        format!("10.77.{}.1", self.number)
    }

    fn address(&self, host: usize) -> String {
        format!("10.77.{}.{}", self.number, host + 2)
    }

    fn credentials(&self) -> PathBuf {
        self.directory.path().join("credentials")
    }

    fn clock(&self, host: usize) -> PathBuf {
        self.directory.path().join(format!("clock-{host}"))
    }

    /// A URL of an engine, as hosts reach it.
    pub(super) fn url(&self, url: &str) -> String {
        url.replace("127.0.0.1", &self.hub()).replace("0.0.0.0", &self.hub())
    }

    /// The setup of a host.
    pub(super) fn furnish(&self, host: usize, setup: Setup, store: &str) -> Setup {
        let enter = ["ip", "netns", "exec", &namespace(self.number, host)];
        let setup = setup.run_by(&enter).at(format!("{}:{PORT}", self.address(host)));
        let setup = setup
            .config(&format!("bus_credentials_file = {:?}", self.credentials()))
            .config(&format!("identity.trusted = [\"10.77.{}.0/24\"]", self.number));
        setup
            .env("ONDOL_STORE", self.url(store))
            .env("LD_PRELOAD", self.faketime.display())
            .env("FAKETIME_TIMESTAMP_FILE", self.clock(host).display())
            .env("FAKETIME_CACHE_DURATION", 1)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", 1)
            .env("NO_FAKE_STAT", 1)
    }

    /// Changes the time of a host to this many seconds off, within a second.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn set_clock(&self, host: usize, seconds: i32) -> Result<()> {
        let written = self.directory.path().join("clock.new");
        fs::write(&written, format!("{seconds:+}\n"))?;
        Ok(fs::rename(written, self.clock(host))?)
    }

    /// Cuts a host off, or ends that. `engines`: PostgreSQL and NATS.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn cut(&mut self, host: usize, cut: Cut, is_cut: bool, engines: [&str; 2]) -> Result<()> {
        let cuts = self.cuts.entry(host).or_default();
        if is_cut {
            cuts.insert(cut)
        } else {
            cuts.remove(&cut)
        };
        let port = |engine: usize| engines[engine].rsplit_once(':').map(|(_, port)| port).context("no port");
        let (store, bus) = (port(0)?, port(1)?);
        let [mut incoming, mut outgoing] = [String::new(), String::new()];
        for cut in &*cuts {
            let (rule_in, rule_out) = match cut {
                Cut::All => ("iif eth0 drop".to_owned(), "oif eth0 drop".to_owned()),
                Cut::Store => (format!("tcp sport {store} drop"), format!("tcp dport {store} drop")),
                Cut::Bus => (format!("tcp sport {bus} drop"), format!("tcp dport {bus} drop")),
                Cut::Incoming => ("iif eth0 drop".to_owned(), String::new()),
                Cut::Outgoing => (String::new(), "oif eth0 drop".to_owned()),
                Cut::SomeFrames => {
                    let rule = "numgen random mod 100 < 5 drop".to_owned();
                    (rule.clone(), rule)
                }
            };
            incoming.push_str(&format!("{rule_in}\n"));
            outgoing.push_str(&format!("{rule_out}\n"));
        }
        let rules = format!(
            "flush ruleset
             table ip cuts {{
                 chain incoming {{
                     type filter hook input priority 0
                     {incoming}
                 }}
                 chain outgoing {{
                     type filter hook output priority 0
                     {outgoing}
                 }}
             }}"
        );
        run("ip", &["netns", "exec", &namespace(self.number, host), "nft", "-f", "-"], &rules).map(drop)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove(self.number, self.hosts);
    }
}

fn bridge(number: u8) -> String {
    format!("ondol{number}")
}

/// The end of a host's cable at the bridge.
fn cable(number: u8, host: usize) -> String {
    format!("ondol{number}-{host}")
}

fn namespace(number: u8, host: usize) -> String {
    format!("ondol{number}-{host}")
}

/// Takes a number that no network has, or one of a test process that is gone. The alias of a bridge is its process.
fn take_number() -> Result<u8> {
    let process = std::process::id();
    for number in 0..COUNT {
        let bridge = bridge(number);
        let alias = fs::read_to_string(format!("/sys/class/net/{bridge}/ifalias")).unwrap_or_default();
        if alias.trim().parse::<u32>().is_ok_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            remove(number, usize::from(COUNT));
        }
        if ip(&format!("link add {bridge} type bridge")).is_ok() {
            return ip(&format!("link set {bridge} alias {process}")).map(|_| number);
        }
    }
    anyhow::bail!("each network is taken")
}

/// Removes a network, as far as it is there.
fn remove(number: u8, hosts: usize) {
    for host in 0..hosts {
        // A connection that waits for its end keeps the cable for a while.
        let _ = ip(&format!("link del {}", cable(number, host)));
        if ip(&format!("netns del {}", namespace(number, host))).is_err() {
            break;
        }
    }
    let _ = ip(&format!("link del {}", bridge(number)));
}

fn ip(words: &str) -> Result<String> {
    run("ip", &words.split(' ').collect::<Vec<_>>(), "")
}

/// Runs a program to its end, and returns what it prints.
fn run(program: &str, words: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().with_context(|| program.to_owned())?;
    process.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
    let output = process.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", words.join(" "), errors.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
