//! Addresses and ids.

use std::collections::HashSet;

use owed_mails::{EmailAddress, MailId};
use proptest::prelude::*;
use rstest::rstest;

#[rstest]
#[case("me@example.com", "me@example.com")]
#[case("  Me.Too+tag@EXAMPLE.com ", "Me.Too+tag@example.com")]
#[case("me@bücher.example", "me@xn--bcher-kva.example")]
#[case("o'hara@example.co.uk", "o'hara@example.co.uk")]
#[case("tapedeck@localhost", "tapedeck@localhost")]
fn these_addresses_are_accepted(#[case] text: &str, #[case] address: &str) {
    assert_eq!(EmailAddress::parse(text).expect("an address").as_str(), address);
}

#[rstest]
#[case("", "is empty")]
#[case("me", "the `@` is missing")]
#[case("@example.com", "the part before the `@` is empty")]
#[case("me@", "the domain is empty")]
#[case("me@@example.com", "before the `@` has a character")]
#[case("me..too@example.com", "two dots in a row")]
#[case("me too@example.com", "has a character")]
#[case("me@example.com\r\nBcc: you@example.com", "has a character")]
#[case("\"me\"@example.com", "has a character")]
#[case("me,you@example.com", "has a character")]
#[case("mé@example.com", "has a character")]
#[case("me@example", "has no dot")]
#[case("me@exa mple.com", "has a character")]
#[case("me@-example.com", "a hyphen")]
#[case("me@example..com", "two dots in a row")]
#[case("me@192.0.2.1", "the number of a host")]
#[case("me@[192.0.2.1]", "has a character")]
#[case("me@exam%70le.com", "has a character")]
fn these_addresses_are_refused_with_the_reason(#[case] text: &str, #[case] reason: &str) {
    let error = EmailAddress::parse(text).expect_err("refused").to_string();
    assert!(error.contains(reason), "{error}");
    assert!(!error.contains(['\r', '\n']), "{error:?}");
}

#[test]
fn two_spellings_are_one_address() {
    let [one, other] =
        ["Me@Example.com", "me@example.COM"].map(|text| EmailAddress::parse(text).expect("an address"));
    assert_eq!(one, other);
    assert_eq!(one.key(), other.key());
    assert_eq!(HashSet::from([one.clone(), other]).len(), 1);
    assert_eq!(format!("{one:?}"), "M…@example.com", "a log shows no address");
}

#[test]
fn an_id_is_visible_ascii() {
    for text in ["", "a b", "ä", "a\n", &"x".repeat(201)] {
        assert!(MailId::parse(text).is_err(), "{text:?}");
    }
    assert_eq!(MailId::parse("digest:1:2026-01-13").expect("an id").as_str(), "digest:1:2026-01-13");
}

proptest! {
    #[test]
    fn any_text_is_an_address_that_parses_to_itself_or_is_refused(text in "\\PC{0,40}(@\\PC{0,40})?") {
        if let Ok(address) = EmailAddress::parse(&text) {
            prop_assert_eq!(EmailAddress::parse(address.as_str()).map(|again| again.as_str().to_owned()), Ok(address.as_str().to_owned()));
            prop_assert!(address.as_str().is_ascii() && !address.as_str().contains(char::is_whitespace));
        }
    }
}
