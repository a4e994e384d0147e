//! The state machine against its definition, and checkpoints.

use std::collections::BTreeSet;

use alert_rules::{AlertChange, RuleKind};
use proptest::{collection::vec, prelude::*};

use crate::world::{FIVE_PERCENT, Quote, World, house, next_revision, of_ann, opened, quote};

/// Steps between ticks in seconds, and prices around the thresholds.
fn walk() -> impl Strategy<Value = Vec<Quote>> {
    let price =
        prop_oneof![Just(100.0), Just(103.9), Just(104.0), Just(104.5), Just(105.0), Just(107.0), Just(94.0)];
    let step = prop_oneof![4 => 1_i64..120, 1 => 1_000_i64..5_000, 1 => 40_000_i64..90_000, 1 => -200_i64..0];
    vec((step, price), 1..150).prop_map(|steps| {
        let mut seconds = 0;
        let quotes = steps.into_iter().map(|(step, price)| {
            seconds += step;
            quote(seconds.max(0), price)
        });
        quotes.collect()
    })
}

/// The opening times of one direction by the definition: look at the whole walk again for every tick.
fn naive(quotes: &[Quote]) -> Vec<i64> {
    let mut in_order: Vec<Quote> = Vec::new();
    for quote in quotes {
        if in_order.last().is_none_or(|last| last.seconds < quote.seconds) {
            in_order.push(*quote);
        }
    }
    // 15:30 UTC is 10:30 in New York, and its day has 13.5 hours left.
    let day = |quote: &Quote| (quote.seconds + 10 * 3_600 + 1_800).div_euclid(86_400);
    let mut openings: Vec<usize> = Vec::new();
    for (index, quote) in in_order.iter().enumerate() {
        if quote.price < 105.0 {
            continue;
        }
        let may_open = openings.last().is_none_or(|last| {
            let since = &in_order[*last + 1..=index];
            let is_armed =
                since.iter().any(|later| later.price <= 104.0 || day(later) != day(&in_order[*last]));
            is_armed && quote.seconds >= in_order[*last].seconds + 3_600
        });
        if may_open {
            openings.push(index);
        }
    }
    openings.into_iter().map(|index| in_order[index].seconds).collect()
}

proptest! {
    #[test]
    fn episodes_open_as_the_definition_has_it(quotes in walk()) {
        let mut world = World::new([house(FIVE_PERCENT)]);
        let alerts = world.opened(quotes.iter().copied());
        let rises = alerts.iter().filter(|alert| alert.measure > 0.0);
        let found: Vec<i64> = rises.map(|alert| (alert.opened_at - crate::world::at(0)).num_seconds()).collect();
        prop_assert_eq!(found, naive(&quotes));
    }

    #[test]
    fn what_is_read_again_from_any_checkpoint_gives_the_same_changes(
        quotes in walk(),
        cuts in vec((0_usize..150, 0_usize..150), 0..4),
    ) {
        let rules = || [
            house(FIVE_PERCENT),
            of_ann(RuleKind::ChangeFromOpen { percent: 4.0 }),
            next_revision(&of_ann(RuleKind::Above { price: 107.into() }), |fields| {
                fields.id = alert_rules::RuleId::parse("ann-2").unwrap();
                fields.cooldown_minutes = 1;
            }),
        ];
        let mut world = World::new(rules());
        let straight: Vec<Vec<AlertChange>> = quotes.iter().map(|quote| world.apply(*quote)).collect();
        for (saved, killed) in cuts {
            let (saved, killed) = (saved.min(quotes.len()), killed.min(quotes.len()));
            let mut world = World::new(rules());
            for quote in &quotes[..saved] {
                world.apply(*quote);
            }
            let checkpoint = serde_json::to_string(&world.engine).unwrap();
            for quote in &quotes[saved..killed.max(saved)] {
                world.apply(*quote);
            }
            world.engine = serde_json::from_str(&checkpoint).unwrap();
            let again: Vec<Vec<AlertChange>> = quotes[saved..].iter().map(|quote| world.apply(*quote)).collect();
            prop_assert_eq!(&again, &straight[saved..]);
        }
        let all: Vec<_> = straight.into_iter().flat_map(opened).map(|alert| alert.id).collect();
        let distinct: BTreeSet<_> = all.iter().collect();
        prop_assert_eq!(distinct.len(), all.len(), "an identity was used twice");
    }
}
