//! Bytes of a feed as text, whatever they are encoded in.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// So much of the beginning is searched for an XML declaration.
const DECLARATION_BYTES: usize = 200;
/// The beginning of an XML declaration.
const DECLARATION: &str = "<?xml";
/// A text with more declarations inside of declarations is made to be one.
const MAX_REMOVALS: usize = 4;
/// So much is given to the detector.
const DETECTED_BYTES: usize = 64 << 10;

/// The text of a response. Its encoding is that of a byte order mark, else of `Content-Type`, else of the XML declaration, else a
/// guess. Bytes that are no text become U+FFFD. XML declarations are left out: their encodings no longer hold.
pub(crate) fn decode(bytes: &[u8], content_type: Option<&str>) -> String {
    let (encoding, _) = Encoding::for_bom(bytes)
        .or_else(|| content_type.and_then(of_content_type).map(|encoding| (encoding, 0)))
        .unwrap_or_else(|| (of_content(bytes), 0));
    let (text, ..) = encoding.decode(bytes);
    let text = if is_utf_8_after_all(encoding, bytes) { String::from_utf8_lossy(bytes) } else { text };
    // U+0000 is in no XML, and makes the parser take the text for UTF-16.
    let mut text = text.replace('\0', "");
    // A removal may join the parts of another one.
    for _ in 0..MAX_REMOVALS {
        let kept = without_declarations(&text);
        if kept.len() == text.len() {
            return kept;
        }
        text = kept;
    }
    text.replace(DECLARATION, "")
}

/// Many servers add `charset=iso-8859-1` by default to what is UTF-8; text of another encoding is hardly ever valid UTF-8.
fn is_utf_8_after_all(encoding: &'static Encoding, bytes: &[u8]) -> bool {
    encoding.is_ascii_compatible() && encoding != UTF_8 && !bytes.is_ascii() && str::from_utf8(bytes).is_ok()
}

fn of_content_type(content_type: &str) -> Option<&'static Encoding> {
    content_type
        .split(';')
        .skip(1)
        .find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']))
        })
        .and_then(|label| Encoding::for_label(label.as_bytes()))
}

fn of_content(bytes: &[u8]) -> &'static Encoding {
    // UTF-16 without a byte order mark: `<` and a zero.
    match bytes {
        [b'<', 0, ..] => return UTF_16LE,
        [0, b'<', ..] => return UTF_16BE,
        _ => {}
    }
    if let Some(encoding) = of_declaration(&bytes[..bytes.len().min(DECLARATION_BYTES)]) {
        return encoding;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(&bytes[..bytes.len().min(DETECTED_BYTES)], true);
    detector.guess(None, Utf8Detection::Allow)
}

fn of_declaration(start: &[u8]) -> Option<&'static Encoding> {
    let start: String = start.iter().map(|byte| char::from(*byte)).collect();
    let declaration = start.trim_start().strip_prefix(DECLARATION)?;
    let declaration = &declaration[..declaration.find("?>")?];
    let value = declaration[declaration.find("encoding")?..].split_once('=')?.1.trim_start();
    let quote = value.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
    let label = value[1..].split(quote).next()?;
    // What was readable as ASCII is not UTF-16, whatever the declaration says.
    Encoding::for_label(label.trim().as_bytes()).filter(|encoding| encoding.is_ascii_compatible())
}

/// Without declarations, wherever they are: the parser of XML panics at one that names an encoding behind the first bytes.
fn without_declarations(text: &str) -> String {
    let mut rest = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let mut kept = String::with_capacity(rest.len());
    while let Some(start) = rest.find(DECLARATION) {
        let (before, behind) = rest.split_at(start);
        kept.push_str(before);
        // `<?xml-stylesheet` is another instruction.
        let is_declaration = !behind[DECLARATION.len()..].starts_with('-');
        match behind.find("?>") {
            Some(end) if is_declaration => rest = &behind[end + 2..],
            _ => {
                kept.push_str(DECLARATION);
                rest = &behind[DECLARATION.len()..];
            }
        }
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use encoding_rs::{EUC_KR, SHIFT_JIS, WINDOWS_1251, WINDOWS_1252};
    use rstest::rstest;

    use super::*;

    const XML: &str = "<rss><title>Börse – „Kurse“</title></rss>";

    fn utf_16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    fn declared(label: &str, encoding: &'static Encoding, text: &str) -> Vec<u8> {
        encoding.encode(&format!("<?xml version=\"1.0\" encoding=\"{label}\"?>{text}")).0.into_owned()
    }

    #[rstest]
    #[case::plain(XML.into(), None)]
    #[case::bom([b"\xef\xbb\xbf".as_slice(), XML.as_bytes()].concat(), Some("text/xml; charset=iso-8859-1"))]
    #[case::wrong_header(XML.into(), Some("text/xml; charset=ISO-8859-1"))]
    #[case::header(WINDOWS_1252.encode(XML).0.into_owned(), Some("application/rss+xml; Charset=\"windows-1252\""))]
    #[case::declaration(declared("windows-1252", WINDOWS_1252, XML), None)]
    #[case::declared_as_latin(declared("ISO-8859-1", WINDOWS_1252, XML), Some("text/xml"))]
    #[case::declared_as_utf_16(declared("UTF-16", UTF_8, XML), None)]
    #[case::utf_16_le(utf_16(&format!("\u{feff}{XML}"), u16::to_le_bytes), None)]
    #[case::utf_16_be(utf_16(&format!("\u{feff}{XML}"), u16::to_be_bytes), None)]
    #[case::utf_16_le_bare(utf_16(XML, u16::to_le_bytes), None)]
    #[case::utf_16_be_bare(utf_16(&format!("<?xml version=\"1.0\" encoding=\"UTF-16\"?>{XML}"), u16::to_be_bytes), None)]
    #[case::unknown_label(declared("klingon", UTF_8, XML), Some("text/xml; charset=klingon"))]
    fn the_text_is_the_same_whatever_its_encoding(
        #[case] bytes: Vec<u8>,
        #[case] content_type: Option<&str>,
    ) {
        assert_eq!(decode(&bytes, content_type), XML);
    }

    #[test]
    fn declarations_are_left_out_wherever_they_are() {
        let text =
            "<!-- a --><?xml version=\"1.0\" encoding=\"utf-16\"?><?xml-stylesheet href=\"a\"?><rss/><?xml";
        assert_eq!(decode(text.as_bytes(), None), "<!-- a --><?xml-stylesheet href=\"a\"?><rss/><?xml");
    }

    #[test]
    fn an_encoding_that_is_not_named_is_guessed() {
        let text = "Акции Газпрома выросли на открытии торгов, рубль укрепился к доллару";
        assert_eq!(decode(&WINDOWS_1251.encode(text).0, None), text);
        let text = "日経平均株価は三日続伸、半導体関連に買いが広がる";
        assert_eq!(decode(&SHIFT_JIS.encode(text).0, None), text);
        let text = "삼성전자 주가가 사상 최고치를 기록했다고 거래소가 밝혔다";
        assert_eq!(decode(&EUC_KR.encode(text).0, None), text);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(
            decode(b"<rss>\xff\xfe</rss>", Some("text/xml; charset=utf-8")),
            "<rss>\u{fffd}\u{fffd}</rss>"
        );
        assert_eq!(decode(b"", None), "");
        assert_eq!(decode(b"\xef\xbb\xbf", None), "");
    }
}
