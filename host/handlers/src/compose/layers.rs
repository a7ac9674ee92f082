//! How a composed component tells of its layers: their names in a custom section, and an import of settings for each.

use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::admit::file_kind::custom_section;

/// The custom section that holds the layers: a line for each, the front one first, with its name and SHA-256.
const SECTION: &str = "ondol:layers";

/// The beginning of the name under which a layer imports its settings; the layer's name follows.
const SETTINGS_PREFIX: &str = "settings-";

/// One of the components that a handler is composed of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// Its name, which is the prefix of its settings unless it is the last.
    pub name: String,
    /// The SHA-256 of its file, in hexadecimal digits.
    pub sha256: String,
}

impl Layer {
    pub(super) fn new(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.to_owned(), sha256: HEXLOWER.encode(&Sha256::digest(bytes)) }
    }
}

/// The import of a layer's settings.
pub(crate) fn settings_import(layer: &str) -> String {
    format!("{SETTINGS_PREFIX}{layer}")
}

/// The layer whose settings this import has.
pub(crate) fn layer_of_import(import: &str) -> Option<&str> {
    import.strip_prefix(SETTINGS_PREFIX)
}

/// The layers of a composed component. None: it is not composed.
pub(crate) fn read(bytes: &[u8]) -> Option<Vec<Layer>> {
    let lines = std::str::from_utf8(custom_section(bytes, SECTION)?).ok()?;
    let layer = |line: &str| {
        let (name, sha256) = line.split_once(' ')?;
        Some(Layer { name: name.to_owned(), sha256: sha256.to_owned() })
    };
    lines.lines().map(layer).collect()
}

/// Appends the section to a component.
pub(super) fn append(bytes: &mut Vec<u8>, layers: &[Layer]) {
    let lines: String = layers.iter().map(|Layer { name, sha256 }| format!("{name} {sha256}\n")).collect();
    let mut content = leb128(SECTION.len());
    content.extend_from_slice(SECTION.as_bytes());
    content.extend_from_slice(lines.as_bytes());
    bytes.push(0);
    bytes.extend(leb128(content.len()));
    bytes.extend(content);
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0x7f);
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_read_again() {
        let layers: Vec<Layer> = (0..9).map(|index| Layer::new(&format!("layer{index}"), &[index])).collect();
        let mut bytes = b"\0asm\x0d\0\x01\0\x01\x03abc".to_vec();
        assert_eq!(read(&bytes), None);
        append(&mut bytes, &layers);
        assert_eq!(read(&bytes), Some(layers));
    }
}
