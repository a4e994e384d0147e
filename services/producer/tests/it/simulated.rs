//! The simulated market, from its first bar over a restart.

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use market::{Candle, Interval, Symbol, Tick};
use topics::status::ComponentState;

use crate::world::{World, wait_until};

const WATCHLIST: &str = "AAPL,BTC/USDT,ETH/USDT";
const BARS_A_DAY: usize = 1_440;

async fn start(world: &mut World) {
    let choice = world
        .start(&[
            "--provider",
            "simulated",
            "--watchlist",
            WATCHLIST,
            "--simulated-rate",
            "2000",
            "--simulated-seed",
            "7",
        ])
        .await;
    assert!(choice.is_simulated());
}

async fn wait_for_ticks(world: &World, count: u64) {
    wait_until("the log holds enough ticks", async || world.tick_count().await >= count).await;
}

fn by_symbol<T: Copy>(items: &[T], symbol: impl Fn(&T) -> Symbol) -> HashMap<Symbol, Vec<T>> {
    let mut all: HashMap<Symbol, Vec<T>> = HashMap::new();
    for item in items {
        all.entry(symbol(item)).or_default().push(*item);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_bars_comes_before_the_first_tick() {
    let mut world = World::new().await;
    start(&mut world).await;
    wait_for_ticks(&world, 1).await;
    let bars = by_symbol(&world.candles().await, |bar: &Candle| bar.symbol);
    assert_eq!(bars.len(), 3);
    for (symbol, bars) in bars {
        assert_eq!(bars.len(), BARS_A_DAY, "{symbol}");
        assert!(bars.windows(2).all(|pair| pair[1].time - pair[0].time == TimeDelta::minutes(1)), "{symbol}");
        assert!(bars.iter().all(|bar| bar.interval == Interval::Minute && bar.is_final));
        assert!(bars.iter().all(|bar| bar.source.feed.is_simulated()), "{symbol} must be marked");
    }
    let detail = world.becomes("feed simulated", ComponentState::Up, "SIMULATED").await;
    let (market, because) = detail.split_once(topics::names::component::SIMULATED_BECAUSE).unwrap();
    assert_eq!(market, "3 symbols, 2000 ticks a second, SIMULATED");
    assert!(because.starts_with("--provider (PROVIDER) is simulated"), "{because}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_goes_on_where_the_first_ended() {
    let mut world = World::new().await;
    start(&mut world).await;
    wait_for_ticks(&world, 1_500).await;
    world.stop().await;
    let of_first_run = world.tick_count().await;
    let first_run = by_symbol(&world.ticks().await, |tick: &Tick| tick.symbol);

    start(&mut world).await;
    wait_for_ticks(&world, of_first_run + 1_500).await;
    world.stop().await;

    let ticks = by_symbol(&world.ticks().await, |tick: &Tick| tick.symbol);
    assert_eq!(ticks.len(), 3);
    for (symbol, ticks) in ticks {
        assert!(ticks.windows(2).all(|pair| pair[0].seq < pair[1].seq), "{symbol}: numbers do not rise");
        assert!(ticks.iter().all(|tick| tick.source.is_simulated()));
        let before = first_run[&symbol].len();
        let (last, next) = (ticks[before - 1], ticks[before]);
        let ratio = market::decimal_to_f64(next.price) / market::decimal_to_f64(last.price);
        assert!((ratio - 1.0).abs() < 0.02, "{symbol}: {} after {}", next.price, last.price);
    }
    let bars = world.candles().await;
    let identities: HashSet<String> = bars.iter().map(Candle::id).collect();
    assert_eq!(identities.len(), bars.len(), "a minute has two bars");
}
