//! What the load program publishes, as a function of the sequence number: the checker knows it without being told.

use chrono::{DateTime, Utc};
use event_log::NewRecord;
use market::{Source, Symbol, Tick, TickFields};
use rust_decimal::Decimal;

/// A topic and the symbols that go there. Sequence numbers count in each by themselves.
#[derive(Clone, Debug)]
pub struct Lane {
    /// The topic.
    pub topic: &'static str,
    /// Symbols, in turns.
    pub symbols: Vec<Symbol>,
}

/// How many lanes: stocks and crypto pairs.
pub const LANES: usize = 2;

/// Who publishes what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The producer's name; with symbol and sequence number the identity of a tick.
    pub source: Source,
    /// Stocks, then crypto pairs.
    pub lanes: [Lane; LANES],
    /// Of each lane every so many-th record cannot be read; 0: all can.
    pub poison_every: u64,
}

impl Plan {
    /// A plan for so many symbols, half of them stocks.
    ///
    /// # Errors
    /// A source that is no name, or symbols that cannot be made (none, or over 600).
    pub fn new(source: &str, symbols: usize, poison_every: u64) -> anyhow::Result<Self> {
        anyhow::ensure!((2..=600).contains(&symbols), "--symbols must be 2 to 600, not {symbols}");
        let letter = |place: usize| char::from(b'A' + (place % 26) as u8);
        let stock = |place: usize| Symbol::parse(&format!("Z{}{}", letter(place / 26), letter(place)));
        let pair = |place: usize| Symbol::parse(&format!("Z{}{}/USDT", letter(place / 26), letter(place)));
        let stocks = (0..symbols.div_ceil(2)).map(stock).collect::<Result<_, _>>()?;
        let pairs = (0..symbols / 2).map(pair).collect::<Result<_, _>>()?;
        Ok(Self {
            source: Source::parse(source)?,
            lanes: [
                Lane { topic: topics::tick::STOCK_PRICES, symbols: stocks },
                Lane { topic: topics::tick::CRYPTO_PRICES, symbols: pairs },
            ],
            poison_every,
        })
    }

    /// Whose tick a sequence number is.
    pub fn symbol(&self, lane: usize, seq: u64) -> Symbol {
        let symbols = &self.lanes[lane].symbols;
        symbols[(seq % symbols.len() as u64) as usize]
    }

    /// Which lane a symbol is in; `None` if in none.
    pub fn lane_of(&self, symbol: Symbol) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.symbols.contains(&symbol))
    }

    /// Whether the record of this number cannot be read.
    pub fn is_poison(&self, seq: u64) -> bool {
        self.poison_every > 0 && seq % self.poison_every == self.poison_every - 1
    }

    /// The record of a number. Ticks of one symbol are in order of their times, as `now` does not go back.
    ///
    /// # Errors
    /// Never in practice: the prices are fine.
    pub fn record(&self, lane: usize, seq: u64, now: DateTime<Utc>) -> anyhow::Result<NewRecord> {
        let symbol = self.symbol(lane, seq);
        let payload = if self.is_poison(seq) {
            poison(seq)
        } else {
            let mut buffer = Vec::with_capacity(256);
            topics::tick::encode(&self.tick(lane, seq, now)?, &mut buffer);
            buffer
        };
        Ok(NewRecord {
            key: Some(symbol.as_str().as_bytes().to_vec().into()),
            payload: payload.into(),
            headers: Vec::new(),
            timestamp: now,
        })
    }

    fn tick(&self, lane: usize, seq: u64, now: DateTime<Utc>) -> anyhow::Result<Tick> {
        // A price that tells ticks of a bar apart, so that a bar with the wrong ticks has the wrong prices.
        let price = Decimal::new(10_000 + (seq.wrapping_mul(7_919) % 5_000) as i64, 2);
        Ok(Tick::new(TickFields {
            symbol: self.symbol(lane, seq),
            timestamp: now,
            price,
            volume: Decimal::from(seq),
            open: Decimal::from(100),
            high: Decimal::from(150),
            low: Decimal::from(100),
            size: None,
            change_percent: 0.5,
            source: self.source,
            received_at: now,
            seq,
        })?)
    }
}

/// Bytes that are no tick, of several kinds; the same for the same number.
pub fn poison(seq: u64) -> Vec<u8> {
    const WHOLE: &str = r#"{"symbol":"ZAA","timestamp":"2024-01-02T15:04:05Z","price":PRICE,"volume":1,"open":100,"high":150,"low":100,"change_percent":0,"source":"chaos","received_at":"2024-01-02T15:04:05Z","seq":SEQ}"#;
    let with = |price: &str, seq: &str| WHOLE.replace("PRICE", price).replace("SEQ", seq).into_bytes();
    let number = seq.to_string();
    // By the hundreds, as all numbers of a share of one in a hundred end alike.
    match (seq / 100) % 8 {
        0 => with("NaN", &number),
        1 => with("\"101\"", &number),
        2 => with("-1", &number),
        3 => with("101", "-1"),
        4 => format!("{{\"symbol\":\"ZAA\",\"seq\":{seq}}}").into_bytes(),
        5 => with("101", &number).into_iter().take(60 + (seq % 50) as usize).collect(),
        6 => [&[0xff, 0xfe][..], number.as_bytes()].concat(),
        _ => Vec::new(),
    }
}
