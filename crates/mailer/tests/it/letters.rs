//! Letters as text and HTML.

use mailer::{Block, Column, Letter, MAX_HTML_BYTES, Span, Table};

use crate::samples::letter;

fn with(blocks: Vec<Block>) -> Letter {
    Letter { blocks, ..letter() }
}

#[test]
fn the_text_part_has_what_the_html_part_has() {
    let url: url::Url = "https://example.com/symbols/AAPL".parse().expect("a URL");
    let content = with(vec![
        Block::Heading("Yesterday".to_owned()),
        Block::Table(Table {
            columns: vec![Column::text("Symbol"), Column::number("Change")],
            rows: vec![
                vec![Span::text("AAPL"), Span::of_change("+5.1 %", 5.1)],
                vec![Span::text("BTC/USDT"), Span::of_change("−12.0 %", -12.0)],
                vec![Span::text("NVDA")],
            ],
        }),
        Block::List(vec![vec![
            Span::Link { text: "A headline".to_owned(), url: url.clone() },
            Span::text(" (Reuters)"),
        ]]),
        Block::Button { label: "Open the chart".to_owned(), url },
        Block::note("Prices are delayed."),
        Block::Image { cid: "day".to_owned(), alt: "The price today".to_owned(), width_px: 560 },
    ])
    .into_content();
    insta::assert_snapshot!(content.text, @r"
    AAPL rose by 5.1 %

    Yesterday
    ---------

    Symbol     Change
    AAPL       +5.1 %
    BTC/USDT  −12.0 %
    NVDA

    - A headline: https://example.com/symbols/AAPL (Reuters)

    Open the chart: https://example.com/symbols/AAPL

    Prices are delayed.

    [The price today]

    -- 
    You receive this mail because you watch AAPL.
    Unsubscribe: https://example.com/unsubscribe?t=1
    ");
    for part in
        ["Yesterday", "−12.0 %", "NVDA", "href=\"https://example.com/symbols/AAPL\"", "src=\"cid:day\""]
    {
        assert!(content.html.contains(part), "{part}: {}", content.html);
    }
}

#[test]
fn markup_is_shown_as_text_and_lines_stay_lines() {
    let attack = "<script>alert(1)</script>\r\nBcc: a@b.c \u{202e}gpj".to_owned();
    let mut letter = with(vec![
        Block::Paragraph(vec![Span::Text(attack.clone()), Span::Strong(attack.clone())]),
        Block::Image { cid: "\"><script>".to_owned(), alt: attack.clone(), width_px: 1 },
    ]);
    letter.subject.clone_from(&attack);
    letter.title = attack.clone();
    letter.preview.clone_from(&attack);
    letter.reason = attack;
    let content = letter.into_content();
    assert!(!content.html.contains("<script>"), "{}", content.html);
    assert!(!content.subject.contains(['\r', '\n']), "{:?}", content.subject);
    assert!(!content.text.contains("\nBcc"), "{}", content.text);
    assert!(!content.text.contains('\u{202e}') && !content.html.contains('\u{202e}'));
}

#[test]
fn a_letter_of_any_length_stays_below_what_mail_clients_show() {
    let paragraphs = (0..2_000).map(|number| Block::paragraph(format!("{number} {}", "x".repeat(10_000))));
    let content = with(paragraphs.collect()).into_content();
    assert!(content.html.len() <= MAX_HTML_BYTES, "{}", content.html.len());
    assert!(content.html.contains("The rest is left out") && content.text.contains("The rest is left out"));
    assert!(content.html.ends_with("</html>"), "it is whole");
    let empty = with(Vec::new()).into_content();
    assert!(!empty.html.contains("The rest is left out"));
}
