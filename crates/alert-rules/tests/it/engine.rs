//! What opens and closes episodes.

use alert_rules::{AlertChange, AlertRule, RuleKind, RuleSet, WatchedSymbols};
use market::decimal_from_f64;

use crate::world::{FIVE_PERCENT, Quote, World, at, house, next_revision, of_ann, opened, quote, symbol};

const DAY: i64 = 86_400;

fn level(price: f64) -> rust_decimal::Decimal {
    decimal_from_f64(price).unwrap()
}

#[test]
fn an_episode_opens_at_the_threshold_closes_a_fifth_back_and_opens_again_after_the_cooldown() {
    let mut world = World::new([house(FIVE_PERCENT)]);
    assert!(world.opened([quote(0, 104.99)]).is_empty());
    let alerts = world.opened([quote(1, 105.0), quote(2, 110.0), quote(3, 104.5)]);
    assert_eq!(alerts.len(), 1);
    let alert = &alerts[0];
    assert_eq!(alert.id.as_str(), "house@1:AAPL:yahoo:1000001");
    assert_eq!((alert.opened_at, alert.measure), (at(1), 5.0));
    assert_eq!(alert.message, "AAPL is 5.00 % above its open: 105 against 100 (threshold 5 %)");
    let closed = world.apply(quote(4, 104.0));
    let expected = AlertChange::Closed { alert: alert.id.clone(), closed_at: at(4), peak: 10.0 };
    assert_eq!(closed, [expected]);
    assert!(world.opened([quote(5, 106.0), quote(3_600, 106.0)]).is_empty(), "within an hour of opening");
    let again = world.opened([quote(3_601, 106.0)]);
    assert_eq!(again.len(), 1, "it is true when the cool-down ends");
}

#[test]
fn each_direction_has_an_episode_of_its_own() {
    let mut world = World::new([house(FIVE_PERCENT)]);
    let alerts = world.opened([quote(0, 106.0), quote(1, 94.0)]);
    let messages: Vec<&str> = alerts.iter().map(|alert| alert.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "AAPL is 6.00 % above its open: 106 against 100 (threshold 5 %)",
            "AAPL is 6.00 % below its open: 94 against 100 (threshold 5 %)",
        ]
    );
}

#[test]
fn levels_re_arm_a_fifth_of_a_percent_behind_and_not_with_the_session() {
    let rules = [
        of_ann(RuleKind::Above { price: level(110.0) }),
        next_revision(&house(RuleKind::Below { price: level(90.0) }), |fields| fields.cooldown_minutes = 0),
    ];
    let mut world = World::new(rules);
    let alerts = world.opened([quote(0, 100.0), quote(1, 110.0), quote(DAY, 111.0), quote(2 * DAY, 112.0)]);
    assert_eq!(alerts.len(), 1, "days above a level are one episode");
    let flaps = [90.0, 90.17, 89.0, 90.18, 90.0].into_iter().zip(2 * DAY + 1..);
    let alerts = world.opened(flaps.map(|(price, seconds)| quote(seconds, price)));
    let prices: Vec<f64> = alerts.iter().map(|alert| alert.tick.price).collect();
    assert_eq!(prices, [90.0, 90.0], "and 90.18 is two thousandths above 90");
}

#[test]
fn the_end_of_a_session_closes_an_episode_and_the_next_one_may_open_at_once() {
    let mut world = World::new([house(FIVE_PERCENT)]);
    let first = world.opened([quote(0, 106.0)]);
    let changes = world.apply(quote(DAY, 107.0));
    assert!(matches!(&changes[0], AlertChange::Closed { alert, .. } if *alert == first[0].id));
    assert_eq!(opened(changes).len(), 1);
}

#[test]
fn late_and_repeated_ticks_change_nothing() {
    let mut world = World::new([next_revision(&house(FIVE_PERCENT), |fields| fields.cooldown_minutes = 0)]);
    world.opened([quote(0, 106.0), quote(10, 100.0)]);
    for late in [quote(0, 106.0), quote(5, 106.0), quote(10, 106.0)] {
        assert_eq!(world.apply(late), []);
    }
    // Received later than the newest, although it happened before.
    let late = Quote { seq: 2_000_000, received_after: 100, ..quote(9, 106.0) };
    assert_eq!(world.apply(late), []);
}

#[test]
fn a_clock_that_was_an_hour_fast_and_is_corrected_stops_no_alerts() {
    let mut world = World::new([house(FIVE_PERCENT)]);
    world.opened([quote(3_600, 100.0)]);
    let corrected = Quote { seq: 2_000_000, ..quote(0, 106.0) };
    assert_eq!(world.opened([corrected]).len(), 1);
}

#[test]
fn simulated_stale_and_first_ticks_of_a_feed_open_no_episode_of_a_person_and_may_open_one_of_the_house() {
    let opened = |quotes: &[Quote]| {
        let mut world = World::new([house(FIVE_PERCENT), of_ann(FIVE_PERCENT)]);
        let alerts = world.opened(quotes.iter().copied());
        (
            alerts.iter().filter(|alert| alert.owner.is_house()).count(),
            alerts.iter().filter(|alert| !alert.owner.is_house()).count(),
        )
    };
    assert_eq!(opened(&[quote(0, 100.0), quote(1, 106.0)]), (1, 1));
    assert_eq!(opened(&[quote(0, 106.0)]), (1, 0), "the first tick of all");
    assert_eq!(opened(&[quote(0, 106.0), quote(1, 106.0)]), (1, 1), "and the second one opens it");
    let simulated = |seconds, price| Quote { source: "simulated", ..quote(seconds, price) };
    assert_eq!(opened(&[simulated(0, 100.0), simulated(1, 106.0)]), (1, 0));
    let stale = Quote { received_after: 1_201, ..quote(1, 106.0) };
    assert_eq!(opened(&[quote(0, 100.0), stale]), (1, 0));
    let other = |seconds| Quote { source: "finnhub", ..quote(seconds, 106.0) };
    assert_eq!(opened(&[quote(0, 100.0), other(61)]), (1, 0));
    assert_eq!(opened(&[quote(0, 100.0), other(61), other(62)]), (1, 1));
    assert_eq!(opened(&[quote(0, 100.0), other(59), other(60)]), (0, 0), "yahoo is followed");
    let mut world = World::new([house(FIVE_PERCENT)]);
    let alert = &world.opened([simulated(0, 106.0)])[0];
    assert!(alert.is_simulated && alert.message.starts_with("SIMULATED: "), "{alert:?}");
}

#[test]
fn a_revision_that_only_changes_recipients_continues_the_episode_and_a_new_threshold_begins_anew() {
    let first = house(FIVE_PERCENT);
    let mut world = World::new([first.clone()]);
    let alert = world.opened([quote(0, 106.0)]).remove(0);
    let second = next_revision(&first, |fields| fields.recipients.push("bob@example.com".to_owned()));
    world.rules = RuleSet::new([second.clone()]).unwrap();
    assert_eq!(world.apply(quote(1, 107.0)), []);
    let third = next_revision(&second, |fields| fields.kind = RuleKind::ChangeFromOpen { percent: 6.0 });
    world.rules = RuleSet::new([third.clone()]).unwrap();
    world.restart();
    let changes = world.apply(quote(2, 107.0));
    assert!(matches!(&changes[0], AlertChange::Closed { alert: id, .. } if *id == alert.id), "{changes:?}");
    let again = opened(changes).remove(0);
    assert_eq!((again.revision, again.deliveries.len()), (3, 2));
    world.rules = RuleSet::new([]).unwrap();
    let changes = world.apply(quote(3, 107.0));
    assert!(matches!(&changes[..], [AlertChange::Closed { .. }]), "the rule is gone: {changes:?}");
    let idle: Vec<AlertRule> = vec![next_revision(&third, |fields| fields.is_active = false)];
    assert_eq!(RuleSet::new(idle).unwrap().id(), world.rules.id(), "as if it were not there");
}

#[test]
fn a_rule_watches_its_symbols_only() {
    let elsewhere = next_revision(&house(FIVE_PERCENT), |fields| {
        fields.symbols = WatchedSymbols::Only(vec![symbol("MSFT")]);
    });
    assert!(World::new([elsewhere]).opened([quote(0, 106.0)]).is_empty());
}

#[test]
fn symbols_of_a_partition_that_is_gone_continue_where_they_are_now() {
    let mut before = World::new([house(FIVE_PERCENT)]);
    before.opened([quote(0, 106.0)]);
    let mut heir = World::new([house(FIVE_PERCENT)]);
    assert!(!heir.engine.adopt(std::slice::from_ref(&before.engine), &[], |_| false), "not here");
    assert!(heir.engine.adopt(std::slice::from_ref(&before.engine), &[], |_| true));
    assert!(heir.opened([quote(1, 106.0)]).is_empty(), "it is open already");
    // The partition is back, and further: its symbols are given up here.
    before.opened([quote(2, 100.0)]);
    assert!(heir.engine.adopt(&[], std::slice::from_ref(&before.engine), |_| false));
    assert_eq!(heir.opened([quote(3, 106.0)]).len(), 1, "nothing is left of it");
}
