//! Reading a mail from its bytes, as far as a page shows it.

use std::io;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use mailparse::{MailHeaderMap, ParsedMail};
use owed_mails::InlineImage;

/// Most parts within parts that are looked into.
const MAX_DEPTH: usize = 8;

/// A mail as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadMail {
    /// Every header in its order: name and decoded value.
    pub headers: Vec<(String, String)>,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: Option<String>,
    /// The pictures of the HTML part.
    pub images: Vec<InlineImage>,
}

impl ReadMail {
    /// The value of the first header of a name, in any letter case; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// The HTML part with its pictures in it; its links open in a new tab. `None` if there is none. It is as trustworthy as the
    /// mail: to be shown in a sandbox.
    pub fn standalone_html(&self) -> Option<String> {
        let mut html = self.html.clone()?;
        for image in &self.images {
            let data = format!("data:image/png;base64,{}", BASE64.encode(&image.png));
            html = html.replace(&format!("\"cid:{}\"", image.cid), &format!("\"{data}\""));
        }
        Some(html.replacen("<head>", "<head><base target=\"_blank\">", 1))
    }

    /// A whole mail.
    pub(crate) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let parsed = mailparse::parse_mail(bytes).map_err(damaged)?;
        let mut mail = Self { headers: headers(&parsed.headers), ..Self::default() };
        mail.add_parts(&parsed, 0).map_err(damaged)?;
        Ok(mail)
    }

    /// Only the headers, of a mail that may be cut off behind them; none if it is no mail.
    pub(crate) fn headers_of(bytes: &[u8]) -> Self {
        let headers = mailparse::parse_headers(bytes).map(|(found, _)| headers(&found)).unwrap_or_default();
        Self { headers, ..Self::default() }
    }

    fn add_parts(&mut self, part: &ParsedMail<'_>, depth: usize) -> Result<(), mailparse::MailParseError> {
        match part.ctype.mimetype.as_str() {
            "text/plain" if self.text.is_empty() => self.text = part.get_body()?,
            "text/html" if self.html.is_none() => self.html = Some(part.get_body()?),
            "image/png" => {
                if let Some(id) = part.headers.get_first_value("Content-ID") {
                    let cid = id.trim().trim_start_matches('<').trim_end_matches('>').to_owned();
                    self.images.push(InlineImage { cid, png: part.get_body_raw()?.into() });
                }
            }
            _ => {}
        }
        if depth < MAX_DEPTH {
            for subpart in &part.subparts {
                self.add_parts(subpart, depth + 1)?;
            }
        }
        Ok(())
    }
}

fn headers(found: &[mailparse::MailHeader<'_>]) -> Vec<(String, String)> {
    found.iter().map(|header| (header.get_key(), header.get_value())).collect()
}

fn damaged(error: mailparse::MailParseError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the file is not a mail: {error}"))
}
