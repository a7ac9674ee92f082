//! Components with the code of several: a start has to load all of it, though one of each is called. Knows the outer form of
//! a component, its sections, and nothing of what stands in them.

use anyhow::{Context as _, ensure};

/// The magic and the version of a component.
const PREAMBLE: usize = 8;
/// The section that holds a core module.
const CORE_MODULE: u8 = 1;

/// The component with its largest core module in it so many times more, instantiated by nobody.
///
/// Errors when the bytes are no component that holds a module.
pub(crate) fn padded(component: &[u8], copies: usize) -> anyhow::Result<Vec<u8>> {
    let module = largest_module(component)?;
    let mut padded = component.to_vec();
    for _ in 0..copies {
        padded.push(CORE_MODULE);
        put_length(&mut padded, module.len());
        padded.extend_from_slice(module);
    }
    Ok(padded)
}

fn largest_module(component: &[u8]) -> anyhow::Result<&[u8]> {
    let mut rest = component.get(PREAMBLE..).context("this is no component")?;
    let mut largest: &[u8] = &[];
    while let Some((section, after)) = rest.split_first() {
        let (length, after) = take_length(after).context("a section without its length")?;
        let (content, after) = after.split_at_checked(length).context("a section that is cut off")?;
        if *section == CORE_MODULE && content.len() > largest.len() {
            largest = content;
        }
        rest = after;
    }
    ensure!(!largest.is_empty(), "the component has no core module");
    Ok(largest)
}

/// An unsigned number in LEB128, and what follows it.
fn take_length(mut bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0_usize;
    for shift in (0..32).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        bytes = rest;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((length, bytes));
        }
    }
    None
}

fn put_length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let [low, ..] = length.to_le_bytes();
        length >>= 7;
        if length == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use super::*;

    #[test]
    fn the_largest_module_is_there_once_more() {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        for (section, content) in [(CORE_MODULE, vec![1; 3]), (CORE_MODULE, vec![2; 300]), (7, vec![3; 500])] {
            component.push(section);
            put_length(&mut component, content.len());
            component.extend(content);
        }
        assert_eq!(largest_module(&component).unwrap(), [2; 300]);
        assert_eq!(padded(&component, 2).unwrap().len(), component.len() + 2 * (1 + 2 + 300));
        assert!(padded(&component, 1).unwrap().ends_with(&[2; 300]));
    }

    #[test]
    fn what_is_no_component_is_an_error() {
        assert!(padded(b"", 1).is_err());
        assert!(padded(b"\0asm\x0d\0\x01\0", 1).is_err());
        assert!(padded(b"\0asm\x0d\0\x01\0\x01\x7f", 1).is_err());
    }
}
