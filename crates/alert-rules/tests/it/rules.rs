//! Rules and rule sets as they are stored.

use alert_rules::{
    AlertRule, InvalidRule, Owner, RuleFields, RuleId, RuleKind, RuleSet, UserId, WatchedSymbols,
};

use crate::world::{FIVE_PERCENT, house, next_revision, of_ann, symbol};

#[test]
fn every_refusal_names_the_field() {
    let refused = |change: fn(&mut RuleFields)| {
        let mut fields = house(FIVE_PERCENT).into_fields();
        change(&mut fields);
        AlertRule::new(fields).unwrap_err().to_string()
    };
    let price = |text: &str| text.parse().unwrap();
    assert!(refused(|fields| fields.revision = 0).contains("revision"));
    assert!(refused(|fields| fields.cooldown_minutes = 100_000).contains("cooldown_minutes"));
    assert!(refused(|fields| fields.symbols = WatchedSymbols::Only(Vec::new())).contains("symbols"));
    assert!(refused(|fields| fields.recipients = vec!["a\nb".to_owned()]).contains("recipients"));
    assert!(refused(|fields| fields.kind = RuleKind::ChangeFromOpen { percent: 0.0 }).contains("percent"));
    assert!(
        refused(|fields| fields.kind = RuleKind::VolumeSpike { multiplier: f64::NAN }).contains("threshold")
    );
    assert!(matches!(
        AlertRule::new(RuleFields {
            kind: RuleKind::Above { price: price("-1") },
            ..house(FIVE_PERCENT).into_fields()
        }),
        Err(InvalidRule::Threshold { kind: "above", .. })
    ));
    assert!(RuleId::parse("a b").unwrap_err().to_string().contains("rule `a b`"));
    assert!(UserId::parse("").is_err() && Owner::parse("ann").is_err());
    assert_eq!(Owner::parse("user:ann").unwrap().to_string(), "user:ann");
}

#[test]
fn a_rule_reads_back_from_its_json() {
    let some = next_revision(&of_ann(RuleKind::Below { price: "0.00001234".parse().unwrap() }), |fields| {
        fields.symbols = WatchedSymbols::Only(vec![symbol("BTC/USDT")]);
    });
    for rule in [house(FIVE_PERCENT), some] {
        let json = serde_json::to_string(&rule).unwrap();
        assert_eq!(serde_json::from_str::<AlertRule>(&json).unwrap(), rule, "{json}");
    }
    let bad = r#"{"_id":"x","owner":"house","revision":1,"symbols":null,"kind":"sideways","threshold":1.0,"cooldown_minutes":1,"is_active":true,"recipients":[]}"#;
    let error = serde_json::from_str::<AlertRule>(bad).unwrap_err().to_string();
    assert!(error.contains("sideways"), "{error}");
}

#[test]
fn the_same_rules_in_any_order_are_the_same_set() {
    let [one, other] = [house(FIVE_PERCENT), of_ann(FIVE_PERCENT)];
    let set = RuleSet::new([one.clone(), other.clone()]).unwrap();
    assert_eq!(RuleSet::new([other.clone(), one.clone()]).unwrap().id(), set.id());
    assert_eq!(RuleSet::parse(set.text()).unwrap(), set);
    let changed = next_revision(&other, |fields| fields.cooldown_minutes = 5);
    assert_ne!(RuleSet::new([one, changed]).unwrap().id(), set.id());
}
