//! The records of the load program, as a function of the sequence number, so that the checker can compute them.

use chrono::{DateTime, Utc};
use event_log::NewRecord;
use market::{Source, Symbol, Tick, TickFields};
use rust_decimal::Decimal;

/// A topic and its symbols. Each lane has its own sequence numbers.
#[derive(Clone, Debug)]
pub struct Lane {
    /// The topic.
    pub topic: &'static str,
    /// The symbols, used in turn.
    pub symbols: Vec<Symbol>,
}

/// Number of lanes: stocks and crypto pairs.
pub const LANES: usize = 2;

/// Source, topics and symbols of the load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The producer's name; with symbol and sequence number the identity of a tick.
    pub source: Source,
    /// Stocks, then crypto pairs.
    pub lanes: [Lane; LANES],
    /// In each lane one in this number of records cannot be decoded; 0: none.
    pub poison_every: u64,
}

impl Plan {
    /// A plan with this number of symbols, half of them stocks.
    ///
    /// # Errors
    /// An invalid source, or a number of symbols that is not 2 to 600.
    pub fn new(source: &str, symbols: usize, poison_every: u64) -> anyhow::Result<Self> {
        anyhow::ensure!((2..=600).contains(&symbols), "--symbols must be 2 to 600, not {symbols}");
        let letter = |index: usize| char::from(b'A' + (index % 26) as u8);
        let stock = |index: usize| Symbol::parse(&format!("Z{}{}", letter(index / 26), letter(index)));
        let pair = |index: usize| Symbol::parse(&format!("Z{}{}/USDT", letter(index / 26), letter(index)));
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

    /// The symbol of a sequence number.
    pub fn symbol(&self, lane: usize, seq: u64) -> Symbol {
        let symbols = &self.lanes[lane].symbols;
        symbols[(seq % symbols.len() as u64) as usize]
    }

    /// The lane of a symbol; `None` if it is not in the plan.
    pub fn lane_of(&self, symbol: Symbol) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.symbols.contains(&symbol))
    }

    /// Whether the record of this number cannot be decoded.
    pub fn is_poison(&self, seq: u64) -> bool {
        self.poison_every > 0 && seq % self.poison_every == self.poison_every - 1
    }

    /// The record of a number, with the time `now`.
    ///
    /// # Errors
    /// Never in practice, as the prices are valid.
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
        // Different prices within a minute, so that a candle with the wrong ticks has the wrong prices.
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

/// A payload that cannot be decoded, of one of several kinds; the same for the same number.
pub fn poison(seq: u64) -> Vec<u8> {
    const WHOLE: &str = r#"{"symbol":"ZAA","timestamp":"2024-01-02T15:04:05Z","price":PRICE,"volume":1,"open":100,"high":150,"low":100,"change_percent":0,"source":"chaos","received_at":"2024-01-02T15:04:05Z","seq":SEQ}"#;
    let with = |price: &str, seq: &str| WHOLE.replace("PRICE", price).replace("SEQ", seq).into_bytes();
    let number = seq.to_string();
    // Depends on the hundreds, as the last two digits of poison records are equal for one in a hundred.
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
