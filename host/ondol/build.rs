//! Builds the crate again when a file appears in what `ondol new` takes out of the binary: `include_dir!` sees only changes
//! of files that it knows. Writes the documents for tools as JSON as well, for the page that shows them: browsers read no YAML.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

/// The documents, below `docs`.
const DOCUMENTS: [&str; 3] = ["openapi", "openapi-admin", "asyncapi"];

fn main() -> Result<(), Box<dyn Error>> {
    for directory in ["wit", "handlers", "templates", "examples"] {
        println!("cargo::rerun-if-changed=../../{directory}");
    }
    let out = env::var("OUT_DIR")?;
    for name in DOCUMENTS {
        let file = format!("../../docs/{name}.yaml");
        println!("cargo::rerun-if-changed={file}");
        let parsed = YamlLoader::load_from_str(&fs::read_to_string(&file)?)?;
        let document = json(parsed.first().ok_or("an empty document")?).map_err(|error| format!("{file}: {error}"))?;
        fs::write(Path::new(&out).join(format!("{name}.json")), document.to_string())?;
    }
    Ok(())
}

/// A YAML value as JSON.
fn json(yaml: &Yaml) -> Result<Value, String> {
    Ok(match yaml {
        Yaml::Real(text) => text.parse::<f64>().map_err(|error| format!("{text}: {error}"))?.into(),
        Yaml::Integer(number) => (*number).into(),
        Yaml::String(text) => text.clone().into(),
        Yaml::Boolean(truth) => (*truth).into(),
        Yaml::Array(items) => items.iter().map(json).collect::<Result<_, _>>()?,
        Yaml::Hash(members) => {
            let named = |(key, value): (&Yaml, &Yaml)| {
                let key = key.as_str().ok_or_else(|| format!("{key:?} is no name"))?;
                Ok::<_, String>((key.to_owned(), json(value)?))
            };
            Value::Object(members.iter().map(named).collect::<Result<Map<_, _>, _>>()?)
        }
        Yaml::Null => Value::Null,
        Yaml::Alias(_) | Yaml::BadValue => return Err("not a plain value".to_owned()),
    })
}
