//! The alert rules of a person: one for changes of all watched symbols, which follows from the account, and one for each price level.

use accounts::{User, UserId};
use alert_rules::{
    AlertRule, InvalidRule, Owner, RuleFields, RuleId, RuleKind, UserId as RuleUser, WatchedSymbols,
};
use chrono::Utc;
use live_store::LiveStore;
use market::{Symbol, parse_decimal};
use rust_decimal::Decimal;

use super::{AccountError, Result};

/// Most price levels of a person.
pub(crate) const MAX_LEVELS: usize = 50;
/// The next alert of a rule and symbol comes so long after one at the earliest.
const COOLDOWN_MINUTES: u32 = 60;
/// How often a rule that another process changed meanwhile is read again.
const ATTEMPTS: usize = 5;

/// A price that a person wants to be alerted at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Level {
    pub(crate) id: RuleId,
    pub(crate) symbol: Symbol,
    pub(crate) is_above: bool,
    pub(crate) price: Decimal,
}

/// A price as it is typed, in the quote currency. A comma before three digits may stand between thousands or before decimals: it is
/// refused, as a level a thousand times too low would fire at once or never.
pub(crate) fn parse_price(text: &str) -> Result<Decimal, &'static str> {
    let text = text.trim();
    if text.split_once(',').is_some_and(|(_, rest)| rest.len() == 3) {
        return Err(
            "a comma before three digits is unclear: write 100000 for a hundred thousand, or a point before decimals",
        );
    }
    let price = parse_decimal(&text.replace(',', ".")).ok().filter(|price| *price > Decimal::ZERO);
    price.ok_or("the price must be a number above zero, such as 300 or 0.25")
}

/// The owner of the rules of a person.
pub(super) fn owner(user: UserId) -> Owner {
    Owner::User(RuleUser::parse(&user.to_string()).expect("26 digits and letters are an identity of a user"))
}

/// The identity of the rule for changes.
fn change_id(user: UserId) -> Result<RuleId, InvalidRule> {
    RuleId::parse(&format!("{user}-change"))
}

fn recipients(user: &User) -> Vec<String> {
    if user.mails_alerts { vec![user.email.as_str().to_owned()] } else { Vec::new() }
}

/// The rule for changes as it follows from the account; `None` where there is none.
fn change_rule(user: &User) -> Result<Option<RuleFields>, InvalidRule> {
    let Some(threshold) = user.threshold.filter(|_| user.is_confirmed() && !user.watch_list.is_empty())
    else {
        return Ok(None);
    };
    Ok(Some(RuleFields {
        id: change_id(user.id)?,
        owner: owner(user.id),
        revision: 1,
        symbols: WatchedSymbols::Only(user.watch_list.clone()),
        kind: RuleKind::ChangeFromOpen { percent: threshold.percent() },
        cooldown_minutes: COOLDOWN_MINUTES,
        is_active: true,
        recipients: recipients(user),
    }))
}

/// Brings the rules of a person in step with the account. Can be repeated.
pub(super) async fn synchronise(store: &dyn LiveStore, user: &User) -> Result<()> {
    match change_rule(user)? {
        Some(fields) => put(store, fields).await?,
        None => {
            store.remove_alert_rule(&change_id(user.id)?, &owner(user.id)).await?;
        }
    }
    let change = change_id(user.id)?;
    for rule in store.alert_rules_of(&owner(user.id)).await?.into_iter().filter(|rule| rule.id != change) {
        put(store, RuleFields { recipients: recipients(user), ..rule.into_fields() }).await?;
    }
    Ok(())
}

/// Stores a rule under its next revision, unless it is stored already.
async fn put(store: &dyn LiveStore, fields: RuleFields) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let stored = store.alert_rule(&fields.id).await?;
        let revision = stored.as_ref().map_or(1, |stored| stored.revision + 1);
        let rule = AlertRule::new(RuleFields { revision, ..fields.clone() })?;
        if stored.is_some_and(|stored| stored.is_same_but_for_revision(&rule))
            || store.put_alert_rule(&rule).await?
        {
            return Ok(());
        }
    }
    Err(AccountError::Conflict)
}

/// The price levels of a person, by symbol and price.
pub(crate) async fn levels(store: &dyn LiveStore, user: UserId) -> Result<Vec<Level>> {
    let mut levels: Vec<Level> =
        store.alert_rules_of(&owner(user)).await?.into_iter().filter_map(level).collect();
    levels.sort_by_key(|level| (level.symbol, level.price, level.is_above));
    Ok(levels)
}

fn level(rule: AlertRule) -> Option<Level> {
    let (is_above, price) = match rule.kind {
        RuleKind::Above { price } => (true, price),
        RuleKind::Below { price } => (false, price),
        RuleKind::ChangeFromOpen { .. } | RuleKind::VolumeSpike { .. } => return None,
    };
    let WatchedSymbols::Only(symbols) = &rule.symbols else { return None };
    let symbol = *symbols.first()?;
    Some(Level { id: rule.id.clone(), symbol, is_above, price })
}

/// Adds a price level; one that is there already is not doubled. `false`: there are as many as may be.
pub(crate) async fn add_level(
    store: &dyn LiveStore,
    user: &User,
    symbol: Symbol,
    is_above: bool,
    price: Decimal,
) -> Result<bool> {
    let levels = levels(store, user.id).await?;
    if levels.iter().any(|level| (level.symbol, level.is_above, level.price) == (symbol, is_above, price)) {
        return Ok(true);
    }
    if levels.len() >= MAX_LEVELS {
        return Ok(false);
    }
    // Of the form of a user's identity, and as unique.
    let id = RuleId::parse(&format!("{}-{}", user.id, UserId::generate(Utc::now())))?;
    let rule = RuleFields {
        id,
        owner: owner(user.id),
        revision: 1,
        symbols: WatchedSymbols::Only(vec![symbol]),
        kind: if is_above { RuleKind::Above { price } } else { RuleKind::Below { price } },
        cooldown_minutes: COOLDOWN_MINUTES,
        is_active: true,
        recipients: recipients(user),
    };
    put(store, rule).await?;
    Ok(true)
}

/// Removes a price level of a person.
pub(crate) async fn remove_level(store: &dyn LiveStore, user: UserId, id: &str) -> Result<()> {
    // An identity that is none, or that of another kind of rule, names no level.
    if let Some(level) = levels(store, user).await?.into_iter().find(|level| level.id.as_str() == id) {
        store.remove_alert_rule(&level.id, &owner(user)).await?;
    }
    Ok(())
}

/// The rules of a person as JSON, for the export.
pub(crate) async fn exported(store: &dyn LiveStore, user: UserId) -> Result<Vec<AlertRule>> {
    Ok(store.alert_rules_of(&owner(user)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_that_may_stand_between_thousands_is_refused() {
        for text in ["100,000", "1,000", " 1,234 "] {
            assert!(parse_price(text).is_err_and(|reason| reason.contains("unclear")), "{text}");
        }
        for (text, price) in
            [("70000,5", "70000.5"), ("0,25", "0.25"), ("1,2345", "1.2345"), ("100000", "100000")]
        {
            assert_eq!(parse_price(text), Ok(price.parse().expect("a number")), "{text}");
        }
    }
}
