//! Tells a component from files that are easily mistaken for one, by the first bytes and the lengths of the sections.
//! Knows nothing of what is inside.

use std::fmt;

use data_encoding::HEXLOWER;

const MAGIC: &[u8; 4] = b"\0asm";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A component in the binary format.
    Component,
    /// A core module.
    CoreModule,
    /// WebAssembly of a version that is neither.
    OtherWasm([u8; 4]),
    /// Code compiled for one machine and one version of wasmtime.
    Precompiled,
    /// WebAssembly in the text format.
    Text,
    /// A compressed file or an archive.
    Packed,
    /// Nothing.
    Empty,
    /// The beginning of a component or module.
    Truncated,
    /// Anything else, with its first bytes.
    Other([u8; 4]),
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component => write!(f, "it is a component"),
            Self::CoreModule => write!(
                f,
                "it is a core module, not a component: in Rust, build it as a cdylib with `cargo build --target \
                 wasm32-wasip2`; in other languages, make it one with `wasm-tools component new`"
            ),
            Self::OtherWasm(version) => write!(
                f,
                "it is WebAssembly of an unknown version ({}): rebuild it with newer tools",
                hexadecimal(version)
            ),
            Self::Precompiled => {
                write!(f, "it is precompiled code, which is not loaded from outside: give the .wasm file")
            }
            Self::Text => write!(f, "it is WebAssembly text: make it binary, for example with `wasm-tools parse`"),
            Self::Packed => write!(f, "it is compressed: give the .wasm file that is in it"),
            Self::Empty => write!(f, "it is empty: it may still be being written"),
            Self::Truncated => write!(f, "it is incomplete: it may still be being written"),
            Self::Other(first) => write!(f, "it is not WebAssembly (its first bytes are {})", hexadecimal(first)),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| HEXLOWER.encode(&[*byte])).collect::<Vec<_>>().join(" ")
}

/// What `bytes` are. A component that this takes for one may still be broken inside.
#[must_use]
pub(crate) fn kind(bytes: &[u8]) -> FileKind {
    let mut first = [0; 4];
    for (to, from) in first.iter_mut().zip(bytes) {
        *to = *from;
    }
    let Some(rest) = bytes.strip_prefix(MAGIC) else { return foreign(bytes, first) };
    let Some((version, sections)) = rest.split_first_chunk::<4>() else { return FileKind::Truncated };
    // A 16-bit version, then a 16-bit layer: 0 for modules, 1 for components.
    let kind = match version {
        [1, 0, 0, 0] => FileKind::CoreModule,
        [_, _, 1, 0] => FileKind::Component,
        _ => return FileKind::OtherWasm(*version),
    };
    if whole(sections) { kind } else { FileKind::Truncated }
}

/// Whether `bytes` may be the beginning of a file that is still being written.
#[must_use]
pub(crate) fn is_unfinished(bytes: &[u8]) -> bool {
    matches!(kind(bytes), FileKind::Empty | FileKind::Truncated)
}

fn foreign(bytes: &[u8], first: [u8; 4]) -> FileKind {
    if bytes.is_empty() {
        FileKind::Empty
    } else if MAGIC.starts_with(bytes) {
        FileKind::Truncated
    } else if bytes.starts_with(b"\x7fELF") {
        FileKind::Precompiled
    } else if bytes.starts_with(b"\x1f\x8b")
        || bytes.starts_with(b"PK\x03\x04")
        || bytes.starts_with(b"\x28\xb5\x2f\xfd")
    {
        FileKind::Packed
    } else if matches!(bytes.trim_ascii_start(), [b'(', ..] | [b';', b';', ..]) {
        FileKind::Text
    } else {
        FileKind::Other(first)
    }
}

/// Whether the last section ends where the file does.
fn whole(mut sections: &[u8]) -> bool {
    while !sections.is_empty() {
        let Some((_, _, rest)) = section(sections) else { return false };
        sections = rest;
    }
    true
}

/// The content of a component's custom section with this name, the last one if there are several.
pub(crate) fn custom_section<'a>(bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut sections = bytes.get(8..)?;
    let mut found = None;
    while let Some((id, content, rest)) = section(sections) {
        if id == 0
            && let Some((length, content)) = length(content)
            && let Some((own, content)) = content.split_at_checked(length)
            && own == name.as_bytes()
        {
            found = Some(content);
        }
        sections = rest;
    }
    found
}

/// The id and the content of the first section, and what follows it. A section is an id, its length as LEB128, and that
/// many bytes.
fn section(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (id, rest) = bytes.split_first()?;
    let (length, rest) = length(rest)?;
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*id, content, rest))
}

fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0_usize;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((length, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0\x00\x03abc";

    #[test]
    fn each_kind_is_told_by_its_bytes() {
        assert_eq!(kind(COMPONENT), FileKind::Component);
        assert_eq!(kind(b"\0asm\x0d\0\x01\0"), FileKind::Component);
        assert_eq!(kind(b"\0asm\x01\0\0\0"), FileKind::CoreModule);
        assert_eq!(kind(b"\0asm\x02\0\0\0"), FileKind::OtherWasm([2, 0, 0, 0]));
        assert_eq!(kind(b"\x7fELF\x02\x01\x01"), FileKind::Precompiled);
        assert_eq!(kind(b"\n (component)"), FileKind::Text);
        assert_eq!(kind(b";; a component\n(component)"), FileKind::Text);
        assert_eq!(kind(b"\x1f\x8b\x08\0"), FileKind::Packed);
        assert_eq!(kind(b""), FileKind::Empty);
        assert_eq!(kind(b"<html>"), FileKind::Other(*b"<htm"));
    }

    #[test]
    fn whatever_part_of_a_component_there_is_it_is_told_as_half() {
        for length in 1..COMPONENT.len() {
            let expected = if length == 8 { FileKind::Component } else { FileKind::Truncated };
            assert_eq!(kind(COMPONENT.split_at(length).0), expected, "{length} bytes");
        }
    }
}
