//! The list of symbols that a user watches.

use std::str::FromStr;

use market::{Symbol, Watchlist};

#[test]
fn a_watch_list_keeps_its_order_drops_repeats_and_names_what_is_wrong() {
    let list = Watchlist::from_str("MSFT, btcusdt,,AAPL,MSFT").unwrap();
    assert_eq!(list.symbols().iter().map(Symbol::as_str).collect::<Vec<_>>(), ["MSFT", "BTC/USDT", "AAPL"]);
    assert!(Watchlist::from_str(" , ").unwrap_err().contains("empty"));
    assert!(Watchlist::from_str("AAPL,$$$").unwrap_err().contains("$$$"));
    let many = (0..1_001).map(|n| format!("A{n}")).collect::<Vec<_>>().join(",");
    assert!(Watchlist::from_str(&many).unwrap_err().contains("1000"));
}
