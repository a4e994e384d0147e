//! JSON text, appended to a reused buffer.

use std::fmt::{self, Write};

/// Longest text of a message, an error or a label, in bytes. Longer ones are truncated, and [`TRUNCATED`] marks them.
pub(crate) const MAX_TEXT_BYTES: usize = 32_768;
/// The end of a text that was truncated.
pub(crate) const TRUNCATED: &str = " [truncated]";
/// The end of a text whose formatting failed.
const UNFORMATTED: &str = " [formatting failed]";

/// The inside of a JSON string that takes a limited number of bytes.
pub(crate) struct Text<'a> {
    into: &'a mut Vec<u8>,
    left_bytes: usize,
    is_truncated: bool,
}

impl Write for Text<'_> {
    /// An error at the limit, which ends the formatting: a value of many megabytes is not formatted to its end.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() <= self.left_bytes {
            self.left_bytes -= text.len();
            escape(text, self.into);
            return Ok(());
        }
        escape(&text[..text.floor_char_boundary(self.left_bytes)], self.into);
        (self.left_bytes, self.is_truncated) = (0, true);
        Err(fmt::Error)
    }
}

/// Appends a JSON string of at most [`MAX_TEXT_BYTES`] that `write` formats.
pub(crate) fn format(into: &mut Vec<u8>, write: impl FnOnce(&mut Text<'_>) -> fmt::Result) {
    into.push(b'"');
    let mut text = Text { into, left_bytes: MAX_TEXT_BYTES, is_truncated: false };
    let done = write(&mut text);
    let is_truncated = text.is_truncated;
    if is_truncated {
        into.extend_from_slice(TRUNCATED.as_bytes());
    } else if done.is_err() {
        into.extend_from_slice(UNFORMATTED.as_bytes());
    }
    into.push(b'"');
}

/// Appends a JSON string of at most [`MAX_TEXT_BYTES`].
pub(crate) fn string(into: &mut Vec<u8>, text: &str) {
    format(into, |into| into.write_str(text));
}

/// Appends a decimal number.
pub(crate) fn number(into: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    into.extend_from_slice(&digits[at..]);
}

/// Appends text with everything escaped that RFC 8259 section 7 wants escaped.
pub(crate) fn escape(text: &str, into: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, byte) in bytes.iter().copied().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        into.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' => into.extend_from_slice(b"\\\""),
            b'\\' => into.extend_from_slice(b"\\\\"),
            b'\n' => into.extend_from_slice(b"\\n"),
            b'\r' => into.extend_from_slice(b"\\r"),
            b'\t' => into.extend_from_slice(b"\\t"),
            _ => into.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
    into.extend_from_slice(&bytes[copied..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        let mut into = Vec::new();
        string(&mut into, text);
        serde_json::from_slice(&into).expect("it is JSON")
    }

    #[test]
    fn every_character_survives() {
        let all: String = (0..=0x2_FFFF_u32).filter_map(char::from_u32).collect();
        for piece in all.chars().collect::<Vec<_>>().chunks(5_000) {
            let text: String = piece.iter().collect();
            assert_eq!(parsed(&text), text);
        }
    }

    #[test]
    fn a_long_text_ends_at_a_character_with_a_mark() {
        let text = "ä".repeat(MAX_TEXT_BYTES);
        let short = parsed(&format!("x{text}"));
        let kept = short.strip_suffix(TRUNCATED).expect("a mark");
        assert_eq!(kept.len(), MAX_TEXT_BYTES - 1);
        assert_eq!(parsed(&text[..MAX_TEXT_BYTES]), text[..MAX_TEXT_BYTES], "what fits has no mark");
    }

    #[test]
    fn numbers_are_decimal() {
        for value in [0, 7, 10, 1_234_567_890, u64::MAX] {
            let mut into = Vec::new();
            number(&mut into, value);
            assert_eq!(String::from_utf8(into).expect("digits"), value.to_string());
        }
    }
}
