//! The content of a mail as blocks, rendered as HTML and as text.

mod html;
mod text;

use owed_mails::{InlineImage, MailContent};
use url::Url;

/// Most bytes of the HTML part; some mail clients cut longer ones off at 102 kB.
pub const MAX_HTML_BYTES: usize = 100_000;
/// Most characters of one span of text.
const MAX_SPAN_CHARS: usize = 4_000;
/// Most characters of a subject.
const MAX_SUBJECT_CHARS: usize = 200;
/// In the place of what would make the mail too large.
const LEFT_OUT: &str = "The rest is left out, because the mail would be too large.";

/// A mail before it is rendered. Both parts have the same blocks in the same order; blocks that would make the HTML part larger
/// than [`MAX_HTML_BYTES`] are left out of both.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The subject.
    pub subject: String,
    /// What inboxes show behind the subject, and nothing else shows.
    pub preview: String,
    /// The heading.
    pub title: String,
    /// The content.
    pub blocks: Vec<Block>,
    /// Why the recipient receives this, in one sentence. At the end.
    pub reason: String,
    /// The pictures that [`Block::Image`] names.
    pub images: Vec<InlineImage>,
    /// See [`MailContent::unsubscribe`]; also a link at the end.
    pub unsubscribe: Option<Url>,
}

/// A part of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A heading within the letter.
    Heading(String),
    /// A paragraph.
    Paragraph(Vec<Span>),
    /// A paragraph of less weight: smaller and grey.
    Note(Vec<Span>),
    /// Items with bullets.
    List(Vec<Vec<Span>>),
    /// A table.
    Table(Table),
    /// The one thing to do, as a button; in the text part, the link.
    Button {
        /// What it does: "Confirm the address".
        label: String,
        /// Where it leads.
        url: Url,
    },
    /// A picture of [`Letter::images`]; in the text part, its description.
    Image {
        /// Its [`InlineImage::cid`].
        cid: String,
        /// What it shows, for those who do not see it.
        alt: String,
        /// Its width as shown, in CSS pixels: half of its own for sharp screens.
        width_px: u32,
    },
}

/// A run of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// As it is.
    Text(String),
    /// Bold.
    Strong(String),
    /// Of a rise: green. The text has the sign, because colour alone is not seen by everybody.
    Rise(String),
    /// Of a fall: red.
    Fall(String),
    /// A link; in the text part, the text and the URL.
    Link {
        /// What is underlined.
        text: String,
        /// Where it leads.
        url: Url,
    },
}

/// A table with a heading row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows, each with one cell a column; missing ones are empty.
    pub rows: Vec<Vec<Span>>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub title: String,
    /// Aligned on the right.
    pub is_number: bool,
}

impl Block {
    /// A paragraph of plain text.
    pub fn paragraph(text: impl Into<String>) -> Self {
        Self::Paragraph(vec![Span::text(text)])
    }

    /// A note of plain text.
    pub fn note(text: impl Into<String>) -> Self {
        Self::Note(vec![Span::text(text)])
    }
}

impl Span {
    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Bold text.
    pub fn strong(text: impl Into<String>) -> Self {
        Self::Strong(text.into())
    }

    /// Text in the colour of the sign of `change`; plain if it is zero or no number.
    pub fn of_change(text: impl Into<String>, change: f64) -> Self {
        let text = text.into();
        if change > 0.0 {
            Self::Rise(text)
        } else if change < 0.0 {
            Self::Fall(text)
        } else {
            Self::Text(text)
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Strong(text) | Self::Rise(text) | Self::Fall(text) => text,
            Self::Link { text, .. } => text,
        }
    }
}

impl Column {
    /// A column of text.
    pub fn text(title: impl Into<String>) -> Self {
        Self { title: title.into(), is_number: false }
    }

    /// A column of numbers.
    pub fn number(title: impl Into<String>) -> Self {
        Self { title: title.into(), is_number: true }
    }
}

impl Table {
    /// The cells of a row, one a column, each of at most one span.
    fn cells<'a>(&'a self, row: &'a [Span]) -> impl Iterator<Item = (&'a Column, &'a [Span])> {
        let cell = |index: usize| row.get(index..=index).unwrap_or_default();
        self.columns.iter().enumerate().map(move |(index, column)| (column, cell(index)))
    }
}

impl Letter {
    /// Renders both parts.
    pub fn into_content(mut self) -> MailContent {
        let html = html::render(&mut self);
        let text = text::render(&self);
        // A picture of a block that has no room would be shown as a file that is attached.
        let blocks = &self.blocks;
        let is_shown = |image: &InlineImage| {
            blocks.iter().any(|block| matches!(block, Block::Image { cid, .. } if *cid == image.cid))
        };
        self.images.retain(is_shown);
        let subject = one_line(&self.subject).chars().take(MAX_SUBJECT_CHARS).collect();
        MailContent { subject, text, html, images: self.images, unsubscribe: self.unsubscribe }
    }
}

/// White space and control characters as single spaces, without the characters that change the direction of the text around them
/// (a headline could show another address than that of its link). At most [`MAX_SPAN_CHARS`].
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars().take(MAX_SPAN_CHARS) {
        match character {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {}
            _ if character.is_whitespace() || character.is_control() => {
                if !line.ends_with(' ') {
                    line.push(' ');
                }
            }
            _ => line.push(character),
        }
    }
    line
}
