//! HTML of feeds as plain text.

use std::collections::{HashMap, HashSet};

/// Most bytes of a text that are read; what is shown is far shorter.
const MAX_INPUT_BYTES: usize = 20_000;

/// Elements whose ends separate words.
const BLOCKS: [&str; 18] = [
    "p",
    "br",
    "div",
    "li",
    "ul",
    "ol",
    "td",
    "tr",
    "table",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "blockquote",
    "pre",
    "hr",
];

/// The text of a piece of HTML, in one line, without markup, scripts, control characters, and characters that change the direction
/// of the text around them; at most `max_chars` characters, cut between words.
pub(crate) fn plain(html: &str, max_chars: usize) -> String {
    let html = &html[..html.floor_char_boundary(MAX_INPUT_BYTES)];
    let text = if html.contains(['<', '&']) { without_markup(html) } else { html.to_owned() };
    shortened(&one_line(&text), max_chars)
}

fn without_markup(html: &str) -> String {
    let clean = ammonia::Builder::new()
        .tags(BLOCKS.into_iter().collect())
        .tag_attributes(HashMap::new())
        .generic_attributes(HashSet::new())
        .link_rel(None)
        .clean(html)
        .to_string();
    // What is left are these elements without attributes; every other `<` and `&` is an entity.
    let mut text = String::with_capacity(clean.len());
    let mut rest = clean.as_str();
    while let Some(open) = rest.find('<') {
        text.push_str(&rest[..open]);
        text.push(' ');
        rest = rest[open..].find('>').map_or("", |close| &rest[open + close + 1..]);
    }
    text.push_str(rest);
    for (entity, character) in
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&nbsp;", " "), ("&amp;", "&")]
    {
        text = text.replace(entity, character);
    }
    text
}

fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            // Direction, zero width, byte order mark, soft hyphen, and bytes that were no text.
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            | '\u{ad}'
            | '\u{fffd}' => {}
            _ if character.is_whitespace() || character.is_control() => {
                if !line.is_empty() && !line.ends_with(' ') {
                    line.push(' ');
                }
            }
            _ => line.push(character),
        }
    }
    line.truncate(line.trim_end().len());
    line
}

fn shortened(line: &str, max_chars: usize) -> String {
    let Some((end, _)) = line.char_indices().nth(max_chars) else { return line.to_owned() };
    let Some((last, _)) = line.char_indices().nth(max_chars.saturating_sub(1)) else {
        return line[..end].to_owned();
    };
    let cut = &line[..last];
    // A text without spaces is cut within its word.
    let cut = cut.rfind(' ').filter(|space| *space > last / 2).map_or(cut, |space| &cut[..space]);
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::as_it_is("Apple beats estimates", "Apple beats estimates")]
    #[case::markup("Apple <b>beats</b> <i>estimates</i>", "Apple beats estimates")]
    #[case::paragraphs("<p>One.</p><p>Two.<br>Three.</p>", "One. Two. Three.")]
    #[case::script("<script>alert(1)</script>Apple<style>p{}</style> rises", "Apple rises")]
    #[case::handler("<img src=x onerror=alert(1)>Apple", "Apple")]
    #[case::entities("AT&amp;T &quot;rises&quot;&nbsp;5&#37; &lt;today&gt;", "AT&T \"rises\" 5% <today>")]
    #[case::twice_escaped("Q&amp;amp;A", "Q&amp;A")]
    #[case::signs("1 < 2 & 3 > 2", "1 < 2 & 3 > 2")]
    #[case::white("  one\n\t two\u{a0}three\u{0}four ", "one two three four")]
    #[case::direction("safe\u{202e}gpj.exe\u{feff}", "safegpj.exe")]
    #[case::open("Apple <a href=\"x", "Apple")]
    #[case::nothing("<p> </p>", "")]
    fn only_the_text_is_left(#[case] html: &str, #[case] expected: &str) {
        assert_eq!(plain(html, 300), expected);
    }

    #[test]
    fn a_long_text_is_cut_between_words() {
        assert_eq!(plain("one two three four", 12), "one two…");
        assert_eq!(plain("one two three", 13), "one two three");
        assert_eq!(plain(&"a".repeat(100), 10), format!("{}…", "a".repeat(9)));
        assert_eq!(plain(&"ä".repeat(50_000), 300).chars().count(), 300);
        assert_eq!(plain(&"<div>".repeat(4_000), 300), "");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail_or_too_long(text in "(\\PC|[<>&;\"'/a-c ]){0,300}", max in 1_usize..100) {
            let plain = plain(&text, max);
            prop_assert!(plain.chars().count() <= max);
            prop_assert!(!plain.contains(['\n', '\r', '\0']));
        }
    }
}
