//! The files in `deploy/cluster`, judged by the schemas and tools of those that read them, and by what the server knows. `running`
//! runs of them what needs no container engine. Needs systemd-analyze, and compose-spec and kubernetes-validate for Python.

mod running;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, ensure};
use ondol_tests::{
    TestResult, TestServer,
    command::{binary, is_installed, ondol_with},
    handlers::workspace,
};
use serde_json::Value;

use crate::api_documents::tool;

/// Prints the documents of a YAML file as JSON.
const TO_JSON: &str = "import json, sys, yaml\n\
    print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1], encoding='utf-8')))))";

/// Holds a file to the compose specification.
const COMPOSE: &str = "import sys\nfrom compose_spec import PyOptions\n\
    PyOptions(apply_merge=True).from_yaml(open(sys.argv[1], encoding='utf-8').read()).validate()";

/// The oldest and the newest Kubernetes that the manifest is held to.
const KUBERNETES: [&str; 2] = ["1.30.0", "1.37.0"];

/// The hosts of the compose file.
const HOSTS: [&str; 3] = ["chat-1", "chat-2", "chat-3"];

type Environment = BTreeMap<String, String>;

fn shipped(file: &str) -> PathBuf {
    workspace().join("deploy/cluster").join(file)
}

/// A Python that has this module. None when it is missing: then the story is named as skipped, except under CI, where that is
/// an error.
fn python(story: &str, module: &str) -> TestResult<Option<PathBuf>> {
    let Some(python) = tool(story, "bin/python3")? else { return Ok(None) };
    if Command::new(&python).args(["-c", &format!("import {module}")]).output()?.status.success() {
        return Ok(Some(python));
    }
    ensure!(std::env::var_os("CI").is_none(), "{story}: no {module} for Python, and CI is set");
    eprintln!("skipped: {story}: no {module} for Python");
    Ok(None)
}

/// The documents in a shipped YAML file.
fn documents(python: &Path, file: &str) -> TestResult<Vec<Value>> {
    let output = Command::new(python).args(["-c", TO_JSON]).arg(shipped(file)).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Runs a judge on a shipped file, in which it finds nothing wrong, and on copies of it with one mistake each, which it finds.
fn judge(file: &str, mistakes: &[(&str, &str)], judge: impl Fn(&Path) -> TestResult<Output>) -> TestResult {
    let output = judge(&shipped(file))?;
    let said = |output: &Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    ensure!(output.status.success(), "{}", said(&output));
    let text = fs::read_to_string(shipped(file))?;
    for (part, mistake) in mistakes {
        ensure!(text.contains(part), "{file} has no {part:?}");
        let copy = tempfile::Builder::new().suffix(".yaml").tempfile()?;
        fs::write(copy.path(), text.replacen(part, mistake, 1))?;
        let output = judge(copy.path())?;
        ensure!(!output.status.success(), "{mistake:?} is not found: {}", said(&output));
    }
    Ok(())
}

#[test]
fn the_compose_file_keeps_to_the_specification() -> TestResult {
    let story = "the_compose_file_keeps_to_the_specification";
    let Some(python) = python(story, "compose_spec")? else { return Ok(()) };
    let mistakes = [
        ("stop_grace_period", "stop_grace_time"),
        ("condition: service_healthy", "condition: healthy"),
        ("secrets: [bus-users]", "secrets: [bus-user]"),
        ("networks: [back]", "networks: [backs]"),
    ];
    judge("compose.yaml", &mistakes, |file| Ok(Command::new(&python).args(["-c", COMPOSE]).arg(file).output()?))
}

#[test]
fn the_manifest_keeps_to_the_schemas_of_kubernetes() -> TestResult {
    let story = "the_manifest_keeps_to_the_schemas_of_kubernetes";
    let Some(validate) = tool(story, "bin/kubernetes-validate")? else { return Ok(()) };
    let mistakes = [
        ("terminationGracePeriodSeconds", "terminationGracePeriod"),
        ("containerPort: 8000", "containerPort: eight"),
        ("httpGet: { path: /readyz, port: http }", "httpGet: { path: /readyz }"),
        ("fieldPath: metadata.name", "path: metadata.name"),
    ];
    for version in KUBERNETES {
        let with = |file: &Path| {
            Ok(Command::new(&validate).args(["--strict", "--kubernetes-version", version]).arg(file).output()?)
        };
        judge("kubernetes.yaml", &mistakes, with)?;
        let page = fs::read_to_string(shipped("README.md"))?;
        ensure!(page.contains(version.trim_end_matches(".0")), "the page does not name Kubernetes {version}");
    }
    Ok(())
}

/// A setting that is in force, as `ondol config show` tells it.
fn setting(environment: &Environment, config: Option<&Path>, name: &str) -> TestResult<String> {
    let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let config = config.map(|file| file.display().to_string());
    let mut words = vec!["config", "show", "--json"];
    words.extend(config.iter().flat_map(|file| ["--config", file.as_str()]));
    let shown = ondol_with(&words, &environment)?;
    shown.expect(0)?;
    let shown: Value = serde_json::from_str(&shown.stdout)?;
    let value = shown[name]["value"].as_str().with_context(|| format!("{name} has no value"))?;
    Ok(value.trim_matches('"').to_owned())
}

/// A time such as `20s`.
fn seconds(time: &str) -> TestResult<u64> {
    Ok(time.strip_suffix('s').with_context(|| format!("{time} is not in seconds"))?.parse()?)
}

/// How long a host drains, and how long it takes to stop at most.
fn stopping(environment: &Environment, config: Option<&Path>) -> TestResult<(u64, u64)> {
    let drain = seconds(&setting(environment, config, "limits.drain_ms")?)?;
    Ok((drain, drain + seconds(&setting(environment, config, "limits.shutdown_grace_ms")?)?))
}

/// The port of the image, from its Dockerfile.
fn port_of_the_image() -> TestResult<u64> {
    let file = fs::read_to_string(workspace().join("deploy/docker/Dockerfile"))?;
    let listen = file.split("ONDOL_LISTEN=0.0.0.0:").nth(1).context("no ONDOL_LISTEN")?;
    Ok(listen.split([' ', '\n']).next().context("no port")?.parse()?)
}

/// The settings of a host in the compose file.
fn environment_of(compose: &Value, host: &str) -> TestResult<Environment> {
    let environment = compose["services"][host]["environment"].as_object().context("no environment")?;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
    environment.iter().map(|(name, value)| Ok((name.clone(), text(value)?))).collect()
}

/// The container of the manifest's pods, and the pods.
fn pod(python: &Path) -> TestResult<(Value, Value)> {
    let documents = documents(python, "kubernetes.yaml")?;
    let hosts = documents.iter().find(|document| document["kind"] == "StatefulSet").context("no StatefulSet")?;
    let pod = &hosts["spec"]["template"]["spec"];
    Ok((pod["containers"][0].clone(), pod.clone()))
}

/// The settings of the pod `ondol-0`.
fn environment_of_pod(container: &Value) -> TestResult<Environment> {
    let entries = container["env"].as_array().context("no env")?;
    let entry = |entry: &Value| {
        let name = entry["name"].as_str().context("no name")?.to_owned();
        if entry["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name" {
            return Ok((name, "ondol-0".to_owned()));
        }
        Ok((name, entry["value"].as_str().context("no value")?.to_owned()))
    };
    entries.iter().map(entry).collect()
}

#[test]
fn the_compose_file_sets_what_the_server_knows() -> TestResult {
    let Some(python) = python("the_compose_file_sets_what_the_server_knows", "yaml")? else { return Ok(()) };
    let compose = documents(&python, "compose.yaml")?.remove(0);
    let (nginx, page) = (fs::read_to_string(shipped("nginx.conf"))?, fs::read_to_string(shipped("README.md"))?);
    let port = port_of_the_image()?;
    let balancer = compose["services"]["nginx"]["networks"]["front"]["ipv4_address"].as_str().context("no address")?;
    for host in HOSTS {
        let (service, environment) = (&compose["services"][host], environment_of(&compose, host)?);
        assert_eq!(setting(&environment, None, "host")?, host);
        assert_eq!(environment["ONDOL_IDENTITY_TRUSTED"], balancer);
        assert!(workspace().join(service["build"]["dockerfile"].as_str().context("no Dockerfile")?).is_file());
        let (_, most) = stopping(&environment, None)?;
        assert!(seconds(service["stop_grace_period"].as_str().context("no time")?)? > most);
        let address = service["networks"]["front"]["ipv4_address"].as_str().context("no address")?;
        assert!(nginx.contains(&format!("server {address}:{port} ")), "nginx.conf does not know {host}");
        let store = environment["ONDOL_STORE"].trim_start_matches("postgres://");
        let of_postgres = &compose["services"]["postgres"]["environment"];
        let (user, name) = (of_postgres["POSTGRES_USER"].as_str(), of_postgres["POSTGRES_DB"].as_str());
        assert_eq!(store, format!("{}@postgres/{}", user.unwrap_or_default(), name.unwrap_or_default()));
        for path in environment.values().filter_map(|value| value.split("/run/secrets/").nth(1)) {
            assert!(service["secrets"].as_array().is_some_and(|of_host| of_host.iter().any(|name| name == path)));
        }
    }
    for (name, secret) in compose["secrets"].as_object().context("no secrets")? {
        assert_eq!(secret["file"], format!("./secrets/{name}"));
        assert!(page.contains(&format!(">secrets/{name}\n")), "the page does not make {name}");
    }
    Ok(())
}

#[tokio::test]
async fn the_manifest_sets_and_asks_what_the_server_knows() -> TestResult {
    let Some(python) = python("the_manifest_sets_and_asks_what_the_server_knows", "yaml")? else { return Ok(()) };
    let (container, pod) = pod(&python)?;
    let environment = environment_of_pod(&container)?;
    assert_eq!(setting(&environment, None, "host")?, "ondol-0");
    assert_eq!(pod["enableServiceLinks"], false);
    assert_eq!(container["ports"][0]["containerPort"], port_of_the_image()?);

    let server = TestServer::start().await?;
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        server.get(container[probe]["httpGet"]["path"].as_str().context("no path")?).await?.expect(200)?;
    }
    // The balancer knows before the host closes its port.
    let number = |value: &Value| value.as_u64().context("no number");
    let (drain, most) = stopping(&environment, None)?;
    let ready = &container["readinessProbe"];
    let noticed = number(&ready["periodSeconds"])? * number(&ready["failureThreshold"])?;
    assert!(noticed < drain.div_ceil(2), "{noticed} s is not below half of {drain} s");
    assert!(number(&pod["terminationGracePeriodSeconds"])? > most);

    // A file for each secret, as the page makes them.
    let page = fs::read_to_string(shipped("README.md"))?;
    let mounted = container["volumeMounts"].as_array().context("no mounts")?;
    let of_secret = mounted.iter().find(|mount| mount["name"] == "secrets").context("no secrets")?;
    let directory = format!("{}/", of_secret["mountPath"].as_str().context("no path")?);
    let files: Vec<_> = environment.values().filter_map(|value| value.split(&directory).nth(1)).collect();
    assert_eq!(files.len(), 3, "{environment:?}");
    for file in files {
        assert!(page.contains(&format!("--from-file={file}")), "the page does not make {file}");
    }
    Ok(())
}

/// The lines of the drop-in that begin with this.
fn drop_in(key: &str) -> TestResult<Vec<String>> {
    let text = fs::read_to_string(shipped("systemd.conf"))?;
    Ok(text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned)).collect())
}

/// The settings in the drop-in, with a directory of credentials.
fn environment_of_drop_in(credentials: &Path) -> TestResult<Environment> {
    let set = |line: String| {
        let (name, value) = line.split_once('=').context("no value")?;
        Ok((name.to_owned(), value.replace("%d", &credentials.display().to_string())))
    };
    drop_in("Environment")?.into_iter().map(set).collect()
}

#[test]
fn the_drop_in_fits_the_unit() -> TestResult {
    if !is_installed("systemd-analyze")? {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let program = fs::canonicalize(binary())?.display().to_string();
    for unit in ["ondol.service", "ondol.socket"] {
        let text = fs::read_to_string(workspace().join("deploy/systemd").join(unit))?;
        fs::write(directory.path().join(unit), text.replace("/usr/bin/ondol", &program))?;
    }
    let place = directory.path().join("ondol.service.d");
    fs::create_dir(&place)?;
    let analyze = |words: &[&str]| -> TestResult<Output> {
        let unit = directory.path().join("ondol.service");
        Ok(Command::new("systemd-analyze").args(words).arg(unit).env("SYSTEMD_PAGER", "cat").output()?)
    };
    let exposure = || -> TestResult<String> {
        let output = analyze(&["security", "--offline=true", "--no-pager"])?;
        let table = String::from_utf8_lossy(&output.stdout);
        let line = table.lines().find(|line| line.contains("Overall exposure level")).context("no level")?;
        Ok(line.to_owned())
    };
    let alone = exposure()?;
    let text = fs::read_to_string(shipped("systemd.conf"))?;
    fs::write(place.join("cluster.conf"), &text)?;
    let output = analyze(&["verify"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{said}");
    assert_eq!(exposure()?, alone, "the drop-in opens the unit");

    // systemd has read it.
    fs::write(place.join("cluster.conf"), text.replace("TimeoutStopSec", "TimeoutStop") + "PrivateUsers=no\n")?;
    let said = String::from_utf8(analyze(&["verify"])?.stderr)?;
    ensure!(said.contains("TimeoutStop'"), "a mistake is not found: {said}");
    assert_ne!(exposure()?, alone);
    Ok(())
}

#[test]
fn the_drop_in_sets_what_the_server_knows() -> TestResult {
    let environment = environment_of_drop_in(Path::new("/run/credentials/ondol.service"))?;
    let config = shipped("ondol.toml");
    let password = setting(&environment, Some(&config), "store_password_file")?;
    assert_eq!(password, "/run/credentials/ondol.service/store-password");
    assert!(setting(&environment, Some(&config), "bus")?.starts_with("tls://"));
    let (_, most) = stopping(&environment, Some(&config))?;
    let stop: u64 = drop_in("TimeoutStopSec")?.first().context("no TimeoutStopSec")?.parse()?;
    assert!(stop > most, "{stop} s is not above {most} s");
    // What the unit says is not said again.
    let unit = fs::read_to_string(workspace().join("deploy/systemd/ondol.service"))?;
    let text = fs::read_to_string(shipped("systemd.conf"))?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '[']));
    for line in lines {
        assert!(!unit.lines().any(|of_unit| of_unit == line), "{line} is in the unit as well");
    }
    for credential in drop_in("LoadCredential")? {
        let (name, path) = credential.split_once(':').context("no path")?;
        assert!(environment.values().any(|value| value.ends_with(&format!("/{name}"))), "{name} is not used");
        let page = fs::read_to_string(shipped("README.md"))?;
        assert!(page.contains(&format!("={path}")), "the page does not name {path}");
    }
    Ok(())
}
