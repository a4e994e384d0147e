use market::{AssetClass, Source, Symbol, SymbolError};
use proptest::prelude::*;
use rstest::rstest;

#[rstest]
#[case("AAPL", "AAPL", AssetClass::Stock)]
#[case(" aapl ", "AAPL", AssetClass::Stock)]
#[case("BRK.B", "BRK.B", AssetClass::Stock)]
#[case("BRK-B", "BRK.B", AssetClass::Stock)]
#[case("S001", "S001", AssetClass::Stock)]
#[case("USD", "USD", AssetClass::Stock)]
#[case("BTC/USDT", "BTC/USDT", AssetClass::Crypto)]
#[case("btcusdt", "BTC/USDT", AssetClass::Crypto)]
#[case("BTC-USDT", "BTC/USDT", AssetClass::Crypto)]
#[case("BAND-GBP", "BAND/GBP", AssetClass::Crypto)]
#[case("BNBBTC", "BNB/BTC", AssetClass::Crypto)]
#[case("ETHFDUSD", "ETH/FDUSD", AssetClass::Crypto)]
#[case("1INCHUSDT", "1INCH/USDT", AssetClass::Crypto)]
#[case("W/USDT", "W/USDT", AssetClass::Crypto)]
#[case("s-usdt", "S/USDT", AssetClass::Crypto)]
#[case("T", "T", AssetClass::Stock)]
#[case("TUSDT", "T/USDT", AssetClass::Crypto)]
#[case("ABTC", "ABTC", AssetClass::Stock)]
#[case("ABUSD", "A/BUSD", AssetClass::Crypto)]
#[case("BNBUSD", "BNB/USD", AssetClass::Crypto)]
#[case("BTCBUSD", "BTC/BUSD", AssetClass::Crypto)]
#[case("1000000MOGDRAGONCOIN/USDT", "1000000MOGDRAGONCOIN/USDT", AssetClass::Crypto)]
#[case("LGF.A", "LGF.A", AssetClass::Stock)]
fn known_spellings_are_normalised(#[case] text: &str, #[case] canonical: &str, #[case] class: AssetClass) {
    let symbol = Symbol::parse(text).unwrap();
    assert_eq!((symbol.as_str(), symbol.asset_class()), (canonical, class));
}

#[rstest]
#[case("", "the symbol is empty")]
#[case("   ", "the symbol is empty")]
#[case("$$$", "`$$$` is neither a stock (AAPL, BRK.B) nor a crypto pair (BTC/USDT)")]
#[case("A B", "`A B` is neither a stock (AAPL, BRK.B) nor a crypto pair (BTC/USDT)")]
#[case("BTC/", "`BTC/` is neither a stock (AAPL, BRK.B) nor a crypto pair (BTC/USDT)")]
#[case("BRK.BCD", "`BRK.BCD` is neither a stock (AAPL, BRK.B) nor a crypto pair (BTC/USDT)")]
#[case("ÄPFEL", "`ÄPFEL` is neither a stock (AAPL, BRK.B) nor a crypto pair (BTC/USDT)")]
#[case("ABCDEFGHIJKLMNOPQRSTUVWXYZ789012", "the symbol is longer than 31 characters")]
#[case(
    "vod.l",
    "`VOD.L` is listed in London; only US stocks (AAPL, BRK.B) and crypto pairs (BTC/USDT) are served"
)]
#[case(
    "7203.T",
    "`7203.T` is listed in Tokyo; only US stocks (AAPL, BRK.B) and crypto pairs (BTC/USDT) are served"
)]
fn anything_else_is_refused_with_the_reason(#[case] text: &str, #[case] reason: &str) {
    assert_eq!(Symbol::parse(text).unwrap_err().to_string(), reason);
}

#[rstest]
#[case("TUSDT", "T/USDT")]
#[case("bnbusd", "BNB/USD")]
#[case("BTCAEUR", "BTC/AEUR")]
#[case("BTC-PLN", "BTC/PLN")]
#[case("S_USDC", "S/USDC")]
#[case("BROCCOLI714USDT", "BROCCOLI714/USDT")]
fn what_a_crypto_venue_names_is_a_pair(#[case] text: &str, #[case] pair: &str) {
    assert_eq!(
        Symbol::parse_pair(text, &["USDT", "USDC", "BUSD", "USD", "AEUR", "EUR"]).unwrap().as_str(),
        pair
    );
}

#[rstest]
#[case("AAPL")]
#[case("USDT")]
#[case("BTC/")]
#[case("币安人生USDT")]
fn a_crypto_venue_has_no_stock(#[case] text: &str) {
    let error = Symbol::parse_pair(text, &["USDT", "USDC"]).unwrap_err().to_string();
    assert_eq!(error, format!("`{text}` is not a crypto pair (BTC/USDT)"));
}

#[test]
fn control_characters_do_not_reach_a_message() {
    let error = Symbol::parse("A\u{1b}[31m").unwrap_err();
    assert_eq!(error, SymbolError::Malformed("A\\u{1b}[31m".to_owned()));
}

#[test]
fn a_source_is_a_short_plain_name() {
    assert!(Source::parse("alpha_vantage").is_ok());
    for bad in ["", "Binance", "a b", "a:b", "abcdefghijklmnopqrstuvwxyz"] {
        assert!(Source::parse(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_what_parses_is_canonical(text in "\\PC{0,30}") {
        if let Ok(symbol) = Symbol::parse(&text) {
            prop_assert_eq!(Symbol::parse(symbol.as_str()), Ok(symbol));
            prop_assert!(symbol.as_str().len() <= 31);
        }
    }

    #[test]
    fn pairs_and_stocks_read_back(base in "[A-Z]{2,6}", quote in "[A-Z]{3,5}", stock in "[A-Z]{1,4}(\\.[A-C])?") {
        for text in [format!("{base}/{quote}"), stock] {
            let symbol = Symbol::parse(&text).unwrap();
            prop_assert_eq!(symbol.as_str(), text);
        }
    }
}
